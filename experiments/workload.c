/*
 * Asks the kernel for something a number of times, and says how that ended: one line for
 * each outcome, as "3 x Cannot allocate memory".  The exit status is 0 when all went well.
 *
 *   mount DIRECTORY TIMES [THREADS]      mount(2) a tmpfs; each thread on a directory of its own
 *   mountfs DEVICE TYPE DIRECTORY TIMES  mount(2) a file system of a device, read-only
 *   create FILE TIMES                    open(2) a file that is not there
 *   send BYTES TIMES                     write(2) so much to a Unix socket at once
 *   read DEVICE SECTOR TIMES             read(2) 4096 bytes around the page cache
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ERRNO 4096
#define MAX_THREADS 64

static unsigned int outcomes[MAX_ERRNO];

/* Count how a request ended: 0 or above is well, below is in errno. */
static void count(int result)
{
	__atomic_fetch_add(&outcomes[result < 0 ? errno : 0], 1, __ATOMIC_RELAXED);
}

static void mount_once(const char *source, const char *type, const char *target)
{
	int result = mount(source, target, type, MS_RDONLY, "");

	count(result);
	if (result == 0 && umount(target) < 0)
		count(-1);
}

struct mounts {
	pthread_t thread;
	char target[4096];
	int times;
};

static void *mounts(void *argument)
{
	struct mounts *mine = argument;

	for (int i = 0; i < mine->times; i++)
		mount_once("none", "tmpfs", mine->target);
	return NULL;
}

static int mount_in_threads(const char *directory, int times, int threads)
{
	static struct mounts all[MAX_THREADS];

	if (threads < 1 || threads > MAX_THREADS)
		return 2;
	for (int i = 0; i < threads; i++) {
		snprintf(all[i].target, sizeof(all[i].target), "%s/%d", directory, i);
		if (mkdir(all[i].target, 0755) < 0 && errno != EEXIST)
			return 2;
		all[i].times = times;
	}
	for (int i = 0; i < threads; i++)
		if (pthread_create(&all[i].thread, NULL, mounts, &all[i]))
			return 2;
	for (int i = 0; i < threads; i++)
		pthread_join(all[i].thread, NULL);
	return 0;
}

static int create(const char *path, int times)
{
	for (int i = 0; i < times; i++) {
		int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

		count(file);
		if (file >= 0) {
			close(file);
			unlink(path);
		}
	}
	return 0;
}

static int send_at_once(size_t bytes, int times)
{
	char *data = calloc(1, bytes);
	int ends[2];

	if (!data || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return 2;
	for (int i = 0; i < times; i++) {
		size_t left = bytes;

		count(write(ends[0], data, bytes) < 0 ? -1 : 0);
		while (left > 0) {
			ssize_t got = recv(ends[1], data, left, MSG_DONTWAIT);

			if (got <= 0)
				break;
			left -= got;
		}
	}
	free(data);
	return 0;
}

static int read_sector(const char *device, off_t sector, int times)
{
	int disk = open(device, O_RDONLY | O_DIRECT);
	void *block;

	if (disk < 0 || posix_memalign(&block, 4096, 4096)) {
		perror(device);
		return 2;
	}
	for (int i = 0; i < times; i++)
		count(pread(disk, block, 4096, sector * 512) < 0 ? -1 : 0);
	free(block);
	return 0;
}

static int work(int words, char **word)
{
	const char *kind = words > 1 ? word[1] : "";

	if (!strcmp(kind, "mount") && (words == 4 || words == 5))
		return mount_in_threads(word[2], atoi(word[3]), words == 5 ? atoi(word[4]) : 1);
	if (!strcmp(kind, "mountfs") && words == 6) {
		for (int i = 0; i < atoi(word[5]); i++)
			mount_once(word[2], word[3], word[4]);
		return 0;
	}
	if (!strcmp(kind, "create") && words == 4)
		return create(word[2], atoi(word[3]));
	if (!strcmp(kind, "send") && words == 4)
		return send_at_once(atoi(word[2]), atoi(word[3]));
	if (!strcmp(kind, "read") && words == 5)
		return read_sector(word[2], atoll(word[3]), atoi(word[4]));
	fprintf(stderr, "usage: see the top of workload.c\n");
	return 2;
}

int main(int argc, char **argv)
{
	int status = work(argc, argv);

	for (int i = 0; i < MAX_ERRNO; i++) {
		if (outcomes[i] && i > 0 && status == 0)
			status = 1;
		if (outcomes[i])
			printf("%u x %s\n", outcomes[i], strerror(i));
	}
	return status;
}
