/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The STS client: asks AWS STS for the signer of a request. It has the network and the system's root certificates only; it
 * gets checked fields from auth and gives back two bounded strings or a reason.
 */
#ifndef STS_STS_H
#define STS_STS_H

#include "base/buf.h"
#include "base/error.h"

struct sts_options {
        const char *connect_to;            /* host:port instead of the AWS host's address, or NULL */
        const char *const *extra_regions;  /* NULL-terminated or NULL */
        bool fips;
        struct str ca_pem; /* the CAs to trust for AWS; empty: the system's. Borrowed while sts_main runs */
};

/*
 * Before the process gives up its rights: loads libcurl, whose libraries are out of reach afterwards, and
 * reads AWS_CA_BUNDLE, which may be readable by the starting user only. FAILED_PRECONDITION with a hint
 * when libcurl is not installed; NOT_FOUND and others for the bundle.
 */
struct error *sts_prepare(struct buf *ret_ca_pem) MUST_USE;

/*
 * What sts_main needs to read inside its sandbox, NULL-terminated: the system's CA certificates and the resolver's files, whose name service modules are libraries.
 */
const char *const *sts_sandbox_read_paths(void);

/* Runs until the other end of fd (owned) closes. ready is called once when serving. */
struct error *sts_main(int fd, struct sts_options options, void (*ready)(void *ctx), void *ctx) MUST_USE;

#endif
