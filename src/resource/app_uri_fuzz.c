/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a uri. Properties: its target has a host and a port, and is the same when it is read again; a start page is a path of the same host.
 */
#include "base/bug.h"
#include "resource/address.h"
#include "resource/app.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct arena *arena, const struct app_uri *uri)
{
        static const char *const schemes[] = { [APP_TCP] = "tcp", [APP_HTTP] = "http", [APP_HTTPS] = "https" };
        struct app_uri again;
        struct error *err;

        if (uri->target[0] == ':' || address_port(str_of(uri->target)) <= 0)
                bug("'%s' is no target", uri->target);
        if (uri->path[0] != '\0' && (uri->path[0] != '/' || uri->path[1] == '/' || uri->path[1] == '\\' || uri->path[1] == '\0'))
                bug("'%s' is no start page", uri->path);
        for (const char *c = uri->path; *c != '\0'; c++)
                if (*c <= ' ' || *c > '~' || *c == '?' || *c == '#')
                        bug("a path with other bytes");
        const char *text = arena_printf(arena, "%s://%s%s", schemes[uri->scheme], uri->target, uri->path);
        err = app_uri_read(arena, str_of(text), &again);
        if (err != NULL || again.scheme != uri->scheme || strcmp(again.target, uri->target) != 0 || strcmp(again.path, uri->path) != 0)
                bug("'%s' is another uri", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        struct str text = str_of_bytes(data, size < 4 * KiB ? size : 4 * KiB);
        struct app_uri uri;
        const char *target = NULL;
        struct error *err = app_uri_read(arena, text, &uri);

        if (err == NULL)
                check(arena, &uri);
        error_free(err);
        err = app_uri_at(arena, text, 22, &target);
        if (err == NULL && address_port(str_of(target)) != 22)
                bug("'%s' is at another port", target);
        error_free(err);
        return 0;
}
