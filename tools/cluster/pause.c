/* The first process of a pod's sandbox: it holds the pod's namespaces, and does nothing. */
#include <signal.h>
#include <unistd.h>

static void leave(int signal)
{
	(void)signal;
	_exit(0);
}

int main(void)
{
	signal(SIGTERM, leave);
	signal(SIGINT, leave);
	signal(SIGCHLD, SIG_IGN); /* who is orphaned here leaves no zombie */
	for (;;)
		pause();
}
