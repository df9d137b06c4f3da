/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of a running resolution of credentials. Private to credentials.c and the sources that send requests.
 */
#ifndef AWS_RESOLVE_INTERNAL_H
#define AWS_RESOLVE_INTERNAL_H

#include "aws/credentials.h"
#include "aws/imds.h"
#include "aws/profile_plan.h"
#include "aws/settings.h"

enum source { SOURCE_ENVIRONMENT, SOURCE_WEB_IDENTITY, SOURCE_PROFILE, SOURCE_CONTAINER, SOURCE_INSTANCE, SOURCE_END };

struct aws_resolve {
        struct loop *loop;
        struct aws_resolve_options options;
        char *home;
        struct aws_settings settings;
        struct aws_resolution r;
        struct http_client *http;
        struct imds *imds;
        struct profile_plan plan;
        enum source source;
        char *described;  /* description of the source, for r.source and messages */
        size_t next_role; /* of the plan */
        /* the running operations, at most one */
        bool is_reading_imds, is_cancelled;
        struct http_call *call;
        struct process_source *process;
        struct assume_role *assume;
        struct timer *pause;
        int tries;
        char *container_url, *container_token;
        void (*done)(void *ctx, struct aws_resolution *r, struct error *err);
        void *ctx;
};

/* The current source has no credentials (outcome is owned): tries the next one. */
void resolve_go_on(struct aws_resolve *a, char *outcome);

/* The current source failed (err is owned): ends the resolution. */
void resolve_fail(struct aws_resolve *a, struct error *err);

/* The current source has stored credentials in r.credentials: ends the resolution. */
void resolve_succeed(struct aws_resolve *a, const char *what);

/* Calls done and frees a. */
void resolve_finish(struct aws_resolve *a, struct error *err);

/* source_container.c */
void resolve_try_container(struct aws_resolve *a);
void resolve_request_container(void *ctx); /* also called after the pause between tries */

/* source_instance.c */
void resolve_try_instance(struct aws_resolve *a);

/* Prepares a->imds; *ret_disabled when the environment forbids it. */
struct error *resolve_open_imds(struct aws_resolve *a, bool *ret_disabled) MUST_USE;
void resolve_read_imds(struct aws_resolve *a, const char *path,
                       void (*done)(void *ctx, struct str body, struct error *err));

#endif
