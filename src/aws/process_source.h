/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a credential_process: a program of the operator that prints credentials as JSON.
 */
#ifndef AWS_PROCESS_SOURCE_H
#define AWS_PROCESS_SOURCE_H

#include "base/error.h"
#include "base/str.h"

struct loop;
struct process_source;

/*
 * Splits the command line into words and runs it without a shell, in a session of its own, with our environment. done
 * is called exactly once, from the loop, when the program has ended: with its output (borrowed, secret) or an error
 * (owned): its exit status with the beginning of its stderr, output over LIMIT_AWS_ANSWER, or more than
 * TIMEOUT_CREDENTIAL_PROCESS (it is killed then).
 */
struct process_source *process_source_start(struct loop *l, struct str command,
                                            void (*done)(void *ctx, struct str output, struct error *err),
                                            void *ctx) MUST_USE;
/* Kills the program. Calls done with CANCELLED unless it was called already. */
void process_source_cancel(struct process_source *p);

#endif
