/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EC2 instance metadata service: a token first (version 2), then plain reads.
 *
 * Without a token (version 1) it is asked only where AWS's SDKs do so: when the service exists but has no
 * tokens, or keeps silent to the request for one (its answer then fell to the hop limit of a container
 * network); never when AWS_EC2_METADATA_V1_DISABLED says no.
 */
#ifndef AWS_IMDS_H
#define AWS_IMDS_H

#include "base/clock.h"
#include "base/error.h"

struct http_client;

struct imds_options {
        const char *endpoint; /* base URL, with or without the slash behind; NULL: by mode */
        bool ipv6;
        bool v1_disabled;
        struct duration within; /* of one connect and of one answer */
        int attempts;
};

struct imds;
/* INVALID_ARGUMENT for an endpoint that is no http(s) URL. The client is borrowed. */
struct error *imds_new(struct http_client *http, const struct imds_options *options, struct imds **ret) MUST_USE;
/* No read may be under way. */
void imds_free(struct imds *m);

/*
 * Reads "/latest/meta-data/…". done comes exactly once, from the loop: the body of a 200 (borrowed, may be
 * secret), or an error (owned): NOT_FOUND for a 404; UNAVAILABLE when nothing answers; otherwise the
 * service is there and does not answer as it should. One read at a time.
 */
void imds_read(struct imds *m, const char *path, void (*done)(void *ctx, struct str body, struct error *err), void *ctx);

/* Ends the read under way, if any, with CANCELLED. */
void imds_cancel(struct imds *m);

#endif
