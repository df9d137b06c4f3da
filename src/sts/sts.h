/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questioner: asks AWS STS who signed a request. Network and the system's roots, nothing else; it
 * gets checked fields from auth and gives back two bounded strings or a reason.
 */
#ifndef STS_STS_H
#define STS_STS_H

#include "base/error.h"

struct sts_options {
        const char *connect_to;            /* host:port instead of the AWS host's address, or NULL */
        const char *const *extra_regions;  /* NULL-terminated or NULL */
        bool fips;
};

/*
 * Before sandbox_enter(): loads libcurl, whose libraries are out of reach afterwards. FAILED_PRECONDITION
 * with a hint when it is not installed.
 */
struct error *sts_prepare(void) MUST_USE;

/*
 * What sts_main needs to read inside its sandbox, NULL-terminated: CA certificates (AWS_CA_BUNDLE and the
 * system's) and the resolver's files, whose name service modules are libraries.
 */
const char *const *sts_sandbox_read_paths(void);

/* Runs until the other end of fd (owned) closes. ready is called once when serving. */
struct error *sts_main(int fd, struct sts_options options, void (*ready)(void *ctx), void *ctx) MUST_USE;

#endif
