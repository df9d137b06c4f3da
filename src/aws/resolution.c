/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results of credential resolution, and their release.
 */
#include <stdlib.h>

#include "aws/credentials.h"

void aws_credentials_release(struct aws_credentials *c)
{
        secret_release(&c->access_key_id);
        secret_release(&c->secret_access_key);
        secret_release(&c->session_token);
        *c = (struct aws_credentials){ 0 };
}

void aws_resolution_release(struct aws_resolution *r)
{
        aws_credentials_release(&r->credentials);
        free(r->source);
        free(r->region);
        free(r->region_source);
        for (size_t i = 0; i < r->tried_count; i++)
                free(r->tried[i].outcome);
        free(r->tried);
        for (size_t i = 0; i < r->warning_count; i++)
                free(r->warnings[i]);
        *r = (struct aws_resolution){ 0 };
}
