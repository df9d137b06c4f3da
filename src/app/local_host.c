/* SPDX-License-Identifier: Apache-2.0 */
#include "app/local_host.h"

#include "base/names.h"
#include "net/socket.h"

/* The name or address of "host[:port]", in lower or upper case; "": it has none. */
static struct str name_of(struct str host)
{
        struct str name = { 0 };
        int port;
        struct error *err = address_split(host, 0, &name, &port);

        if (err == NULL)
                return name;
        error_free(err);
        return (struct str){ 0 };
}

static bool is_localhost(struct str name)
{
        static const struct str below = STR_INIT(".localhost");

        return str_equal_nocase(name, STR("localhost")) ||
               (name.len > below.len && str_equal_nocase(str_slice(name, name.len - below.len, name.len), below));
}

static bool is_of_app(const Cteleport__V1__AppConfig *app, struct str target, struct str name)
{
        if (str_equal_nocase(name, str_of(app->public_addr)) || str_equal_nocase(name, name_of(target)))
                return true;
        for (size_t i = 0; app->rewrite != NULL && i < app->rewrite->n_redirect; i++)
                if (str_equal_nocase(name, str_of(app->rewrite->redirect[i])))
                        return true;
        return false;
}

bool local_host_is_safe(const Cteleport__V1__AppConfig *app, struct str target, struct str host)
{
        struct str name = name_of(host);

        if (str_is_empty(host))
                return true;
        return !str_is_empty(name) && (name_is_ip(name) || is_localhost(name) || is_of_app(app, target, name));
}
