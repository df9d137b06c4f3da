/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_choice.h"

#include "http/head.h"
#include "proxy/proxy.h"

static struct error *choose(const struct proxy *p, struct str head, struct app_choice *ret)
{
        AUTO(http_request) request = { 0 };
        struct str public_addr;

        TRY(http_request_parse(head, &request));
        ret->is_forwarded = http_fields_get(&request.fields, "X-Forwarded-For").ptr != NULL;
        ret->is_app = proxy_find_app(p, request.host, ret->app, &public_addr);
        return NULL;
}

void app_choose(const struct proxy *p, struct str bytes, size_t *scanned, struct app_choice *ret)
{
        size_t len = 0;

        *ret = (struct app_choice){ 0 };
        struct error *err = http_head_find_end(bytes, scanned, &len);
        if (err == NULL && len > 0)
                err = choose(p, str_slice(bytes, 0, len), ret);
        ret->is_made = err != NULL || len > 0;
        error_free(err);
}
