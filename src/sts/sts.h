/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The STS client process: sends the signed request of a joining host to AWS STS to get the identity that signed it. It
 * has access to the network and the system's root certificates only. It receives checked fields from auth and returns
 * two bounded strings or an error.
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
 * To be called before the process drops its privileges: loads libcurl, whose libraries cannot be opened afterwards, and
 * reads AWS_CA_BUNDLE, which may be readable by the starting user only. FAILED_PRECONDITION with a hint when libcurl is
 * not installed; NOT_FOUND and others for the bundle.
 */
struct error *sts_prepare(struct buf *ret_ca_pem) MUST_USE;

/*
 * The paths that sts_main() reads inside its sandbox, NULL-terminated: the system's CA certificates, and the files and
 * name service modules of the resolver.
 */
const char *const *sts_sandbox_read_paths(void);

/* Runs until the other end of fd (owned) closes. ready is called once when serving. */
struct error *sts_main(int fd, struct sts_options options, void (*ready)(void *ctx), void *ctx) MUST_USE;

#endif
