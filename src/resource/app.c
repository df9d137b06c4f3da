/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/address.h"

static const char how_to_write[] = "write tcp://HOST:PORT, for example tcp://127.0.0.1:5432";

struct error *app_check_name(struct str name, const char *field)
{
        AUTO_MEM char *shown = escaped(name);

        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "missing application name"), "set %s", field);
        if (!name_is_app(name)) /* the first words are Teleport's */
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "application name \"%s\" must be a valid DNS subdomain", shown),
                                  "use lower case letters, digits and '-', beginning with a letter and not ending with '-', at most 63 characters");
        return NULL;
}

struct error *app_uri_parse(struct arena *arena, struct str uri, const char **ret_target)
{
        AUTO_MEM char *shown = escaped(uri);
        struct str rest = str_slice(uri, sizeof("tcp://") - 1, uri.len);

        if (!str_starts_with(uri, STR("tcp://")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' is not one of a TCP server", shown), "%s", how_to_write);
        struct error *err = address_normalize(arena, rest, PORT_REQUIRED, "uri", ret_target);
        bool is_listener = err == NULL && (address_port(str_of(*ret_target)) == 0 || str_starts_with(rest, STR(":")));
        if (err == NULL && !is_listener)
                return NULL;
        return error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' has no host and port to connect to", shown), err), "%s", how_to_write);
}
