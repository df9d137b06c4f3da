/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cheap stand-in for AWS STS, in a process of its own: TLS with keep-alive, the same answer for every request, no
 * verification of signatures.
 */
#ifndef BENCH_STS_STAND_IN_H
#define BENCH_STS_STAND_IN_H

#include <sys/types.h>

#include "net/socket.h"

#define STAND_IN_ACCOUNT "123456789012"
#define STAND_IN_REGION "us-east-1"

struct sts_stand_in {
        pid_t pid;
        char address[ADDRESS_TEXT_MAX]; /* for auth_service.aws.sts_connect_to */
        char *ca_path;                  /* for AWS_CA_BUNDLE */
};

/* dir: where its certificate goes. Forks: call it before there is a loop or a thread. */
void sts_stand_in_start(struct sts_stand_in *s, const char *dir);
void sts_stand_in_stop(struct sts_stand_in *s);

#endif
