/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs `teleport start` for a measurement: a cluster or an agent in a directory of its own, and the memory and CPU time of
 * its processes.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "sts_stand_in.h"

enum { PROGRAM_PROCESSES_MAX = 8 };

struct program_process {
        pid_t pid;
        char name[16]; /* "supervisor", "auth", "signer", "sts", "proxy", "instance" */
};

struct program {
        char *dir;         /* holds teleport.yaml, data/ and log */
        const char *path;  /* of teleport */
        bool is_insecure;
        char *log;         /* path of its log */
        int watch;         /* inotify: the log has grown */
        struct program_process processes[PROGRAM_PROCESSES_MAX]; /* the supervisor first */
        size_t process_count;
};

/* Writes the configuration without starting the program. `name` is the directory below dir. */
void program_prepare(struct program *p, const char *teleport, const char *dir, const char *name, const char *yaml);

/* Runs it, with a log of its own, and returns. */
void program_start(struct program *p);

/* Waits until the log contains `text`; returns the rest of the word after it. */
char *program_await(struct program *p, const char *text) MUST_USE;

/* Looks up the service processes; again after a restart. */
void program_find_processes(struct program *p);

/* The process of that name, which must be there. */
pid_t program_pid(struct program *p, const char *name);

/* SIGTERM, and waits. */
void program_stop(struct program *p);
void program_release(struct program *p);

double process_cpu_seconds(pid_t pid); /* all threads, user and system */
double process_pss_kib(pid_t pid);

/* The cluster of the benchmarks: auth and proxy on loopback, asking the stand-in. `more`: further lines of `teleport`. */
void cluster_prepare(struct program *p, const char *teleport, const char *dir, const struct sts_stand_in *sts, const char *more);
/* Starts it; returns the proxy's address. */
char *cluster_start(struct program *p) MUST_USE;

/* Creates the token "bench", which admits the stand-in's account. */
void cluster_create_token(const struct program *p, const char *tctl);

/* An agent of that cluster with the SSH service. */
void agent_prepare(struct program *p, const char *teleport, const char *dir, const char *name, const char *proxy);

/* A cluster of the benchmarks in a temporary directory, with the stand-in that it asks. */
struct bench_cluster {
        char *dir;
        struct sts_stand_in sts;
        struct program program;
        char *proxy; /* address of the proxy since the last start */
};

/* Starts it, with the token "bench". */
void bench_cluster_open(struct bench_cluster *c, const char *teleport, const char *tctl);
/* The same with further lines of the section `teleport`. */
void bench_cluster_open_with(struct bench_cluster *c, const char *teleport, const char *tctl, const char *more);
/* Stops it: the content of the store's log is in the store then. */
void bench_cluster_stop(struct bench_cluster *c);
void bench_cluster_start_again(struct bench_cluster *c);
/* Removes a cluster that was stopped, with its directory. */
void bench_cluster_close(struct bench_cluster *c);

/* Runs a command to its end; its output is dropped, failing is a bug. */
void run(const char *const *words);

/* The arguments [--json] TELEPORT TCTL [AGENTS] of a benchmark with simulated agents; others end the program with a line of usage. */
struct agents_arguments {
        bool as_json;
        const char *teleport, *tctl;
        size_t agents;
};
struct agents_arguments agents_arguments(int argc, char **argv, const char *name, size_t agents_default);

/* Credentials that the chain finds first; the stand-in accepts any. */
void aws_credentials_in_environment(void);

#endif
