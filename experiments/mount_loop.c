/*
 * Mounts and unmounts for ever, and says what went wrong: the sample program of
 * Chaos Mesh's KernelChaos document, with its messages and, as defaults, its
 * arguments.  Usage: mount_loop [SOURCE [TARGET [FSTYPE]]]
 */
#include <sys/mount.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *source = argc > 1 ? argv[1] : "/dev/sdc";
	const char *target = argc > 2 ? argv[2] : "/mnt";
	const char *fstype = argc > 3 ? argv[3] : "ext4";
	int ret;

	/* The C standard lets stderr be line buffered; either way a line is out at once. */
	setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
	while (1) {
		ret = mount(source, target, fstype, MS_MGC_VAL | MS_RDONLY | MS_NOSUID, "");
		if (ret < 0)
			fprintf(stderr, "%s\n", strerror(errno));
		sleep(1);
		ret = umount(target);
		if (ret < 0)
			fprintf(stderr, "%s\n", strerror(errno));
	}
}
