/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the EC2 instance metadata service: requests a token first (version 2), then reads values.
 *
 * It reads without a token (version 1) only where AWS's SDKs do: when the service has no tokens, or does not answer the
 * request for one (the hop limit of a container network dropped its answer); never when AWS_EC2_METADATA_V1_DISABLED
 * forbids it.
 */
#ifndef AWS_IMDS_H
#define AWS_IMDS_H

#include "base/clock.h"
#include "base/error.h"

struct http_client;

struct imds_options {
        const char *endpoint; /* base URL, with or without a trailing slash; NULL: by mode */
        bool ipv6;
        bool v1_disabled;
        struct duration within; /* timeout of one connect and of one answer */
        int attempts;
};

struct imds;
/* INVALID_ARGUMENT for an endpoint that is no http(s) URL. The client is borrowed. */
struct error *imds_new(struct http_client *http, const struct imds_options *options, struct imds **ret) MUST_USE;
/* Frees the client; no read may be running. */
void imds_free(struct imds *m);

/*
 * Reads "/latest/meta-data/…". done is called exactly once, from the loop, with the body of a 200 (borrowed, may be
 * secret) or an error (owned): NOT_FOUND for a 404; UNAVAILABLE when the service does not answer; other codes for
 * invalid answers. One read at a time.
 */
void imds_read(struct imds *m, const char *path, void (*done)(void *ctx, struct str body, struct error *err), void *ctx);

/* Ends a running read, if any, with CANCELLED. */
void imds_cancel(struct imds *m);

#endif
