// SPDX-License-Identifier: Apache-2.0
/*
 * The work that is measured: pipe(2) and two close(2), over and over, or a write to a file.
 * Usage: job THREADS ITERATIONS [FILE]; each line on standard input runs it once, and prints
 * how many nanoseconds an iteration took, as seen from each thread.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64

static long iterations;
static int file = -1;
static pthread_barrier_t start;

static void iterate(long times)
{
	int ends[2];

	if (file >= 0) {
		while (times-- > 0)
			if (pwrite(file, "x", 1, 0) < 0)
				continue;
		return;
	}
	while (times-- > 0) {
		if (pipe(ends))
			continue;
		close(ends[0]);
		close(ends[1]);
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void *work(void *number)
{
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET((long)number % sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	iterate(iterations / 10); /* what is made at the first use is made now */
	pthread_barrier_wait(&start);
	iterate(iterations);
	return NULL;
}

int main(int argc, char **argv)
{
	long threads = argc > 2 ? atol(argv[1]) : 0, n;
	pthread_t ids[MAX_THREADS];
	char line[80];
	double begun;

	iterations = argc > 2 ? atol(argv[2]) : 0;
	if (argc > 3 && (file = open(argv[3], O_WRONLY | O_CREAT, 0600)) < 0)
		return 2;
	if (threads < 1 || threads > MAX_THREADS || iterations < 10)
		return 2;
	pthread_barrier_init(&start, NULL, threads + 1);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (n = 0; n < threads; n++)
			if (pthread_create(&ids[n], NULL, work, (void *)n))
				return 1;
		pthread_barrier_wait(&start);
		begun = now();
		for (n = 0; n < threads; n++)
			pthread_join(ids[n], NULL);
		printf("%.3f\n", (now() - begun) / iterations);
		fflush(stdout);
	}
	return 0;
}
