/*
 * A program with planted weaknesses: each hangs on a system call that nothing else in it makes, so
 * that what an exploration says of a site can be compared with what was planted there.
 *
 * Static, so that it has no sites of a dynamic loader.  Usage: planted [lose | crash]; the latter
 * does nothing but what crashes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static char kept[] = "kept\n", other[] = "other\n";
static int *volatile nowhere; /* a constant NULL would be optimised away */

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(9);
}

static void keep(const char *text)
{
	int file = open("data", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (file < 0) {
		/* Damages what every later run stands on. */
		_exit(mkdir("../poison", 0755) ? 8 : 7);
	}
	if (write(file, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(6);
	close(file);
}

static void leak_memory(void)
{
	char *leaked = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (leaked != MAP_FAILED)
		leaked[1] = 1;
}

static void release(int file)
{
	if (file >= 0)
		close(file);
}

static void crash(void)
{
	*nowhere = 1;
}

static void use_epoll(void)
{
	int file = epoll_create1(EPOLL_CLOEXEC);

	if (file < 0)
		crash();
	release(file);
}

static void lose_guest(void)
{
	int trigger = open("/proc/sysrq-trigger", O_WRONLY);

	if (write(trigger, "c", 1) < 0)
		_exit(5);
}

/* Are there three refusals in a row? */
static int refused_thrice(int loses)
{
	int tries, queue = -1;

	for (tries = 0; tries < 3 && queue < 0; tries++)
		queue = msgget(IPC_PRIVATE, 0600);
	if (tries > 1 && loses)
		lose_guest();
	if (queue >= 0)
		msgctl(queue, IPC_RMID, NULL);
	return queue < 0;
}

/* A run leaves a mark beside its directory, and the next one takes it away. */
static int is_my_turn(void)
{
	return rmdir("../turn") && !mkdir("../turn", 0755);
}

static void use_pair(void)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		crash(); /* only when both fail */
	close(pair[0]);
	close(pair[1]);
}

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	int file, segment, set, n;
	const char *data = kept;
	sigset_t mask;

	setrlimit(RLIMIT_CORE, &none);
	if (argc > 1 && !strcmp(argv[1], "crash")) {
		use_epoll();
		return 0;
	}
	if (!access("../poison", F_OK))
		return 4;

	release(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)); /* survives */

	file = eventfd(0, EFD_CLOEXEC);
	if (file < 0) {
		say("no event\n"); /* reports */
		return 1;
	}
	release(file);

	use_epoll();

	file = inotify_init1(IN_CLOEXEC);
	if (file < 0)
		pause(); /* hangs */
	release(file);

	file = memfd_create("x", MFD_CLOEXEC);
	for (n = 0; file < 0 && n < 3; n++)
		dup(1); /* leaks descriptors */
	release(file);

	file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (file < 0)
		data = other; /* corrupts its file */
	release(file);

	segment = shmget(IPC_PRIVATE, 4096, 0600);
	say(segment < 0 ? "fewer\n" : "all\n"); /* other output, and status 0 */
	if (segment >= 0)
		shmctl(segment, IPC_RMID, NULL);

	use_pair(); /* fails only when two fail */

	if (is_my_turn()) { /* comes here in every other run */
		sigemptyset(&mask);
		release(signalfd(-1, &mask, SFD_CLOEXEC));
	}

	set = semget(IPC_PRIVATE, 1, 0600);
	if (set < 0)
		leak_memory();
	else
		semctl(set, 0, IPC_RMID);

	if (refused_thrice(argc > 1 && !strcmp(argv[1], "lose"))) {
		say("no queue\n"); /* reports, where every request fails */
		return 2;
	}

	keep(data);
	return 0;
}
