/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cheap stand-in for AWS STS, in a process of its own: TLS with keep-alive, the same answer for every request, no
 * verification of signatures.
 */
#ifndef BENCH_STS_STUB_H
#define BENCH_STS_STUB_H

#include <sys/types.h>

#include "net/socket.h"

#define STUB_ACCOUNT "123456789012"
#define STUB_REGION "us-east-1"

struct sts_stub {
        pid_t pid;
        char address[ADDRESS_TEXT_MAX]; /* for auth_service.aws.sts_connect_to */
        char *ca_path;                  /* for AWS_CA_BUNDLE */
};

/* dir: where its certificate goes. Forks: call it before there is a loop or a thread. */
void sts_stub_start(struct sts_stub *s, const char *dir);
void sts_stub_stop(struct sts_stub *s);

#endif
