/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `teleport start` under measurement: a cluster or an agent in a directory of its own, and what its
 * processes cost.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "sts_stub.h"

enum { PROGRAM_PROCESSES_MAX = 8 };

struct program_process {
        pid_t pid;
        char name[16]; /* "supervisor", "auth", "signer", "sts", "proxy", "instance" */
};

struct program {
        char *dir;         /* holds teleport.yaml, data/ and log */
        const char *path;  /* of teleport */
        bool is_insecure;
        char *log;         /* path of what it says */
        int watch;         /* inotify: the log has grown */
        struct program_process processes[PROGRAM_PROCESSES_MAX]; /* the supervisor first */
        size_t process_count;
};

/* Writes the configuration; the program does not run yet. `name` is that of the directory, below dir. */
void program_prepare(struct program *p, const char *teleport, const char *dir, const char *name, const char *yaml);

/* Runs it, with a log of its own, and returns. */
void program_start(struct program *p);

/* Waits until the log says `text`; returns what stands between that and the end of the word. */
char *program_await(struct program *p, const char *text) MUST_USE;

/* Looks up the service processes; again after a restart. */
void program_find_processes(struct program *p);

/* SIGTERM, and waits. */
void program_stop(struct program *p);
void program_release(struct program *p);

double process_cpu_seconds(pid_t pid); /* all threads, user and system */
double process_pss_kib(pid_t pid);

/* The cluster of the benchmarks: auth and proxy on loopback, asking the stub. */
void cluster_prepare(struct program *p, const char *teleport, const char *dir, const struct sts_stub *sts);
/* Starts it; returns the proxy's address. */
char *cluster_start(struct program *p) MUST_USE;

/* The token "bench", which lets the stub's account in. */
void cluster_create_token(const struct program *p, const char *tctl);

/* An agent of that cluster with the SSH service. */
void agent_prepare(struct program *p, const char *teleport, const char *dir, const char *name, const char *proxy);

/* A temporary directory, and its removal. */
char *bench_dir_make(void) MUST_USE;
void bench_dir_remove(const char *dir);

/* Runs a command to its end; its output is dropped, failing is a bug. */
void run(const char *const *words);

/* Credentials that the chain finds first; the stub accepts any. */
void aws_credentials_in_environment(void);

#endif
