/* SPDX-License-Identifier: Apache-2.0 */
/* tsh proxy app: makes an application reachable at a port of this machine. */
#include <stdio.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/app_port.h"
#include "client/node_filter.h"
#include "cmd/common/output.h"
#include "cmd/tsh/app_forward.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "net/socket.h"

const struct flag proxy_app_flags[] = {
        { "port", 'p', FLAG_TEXT, .value = "PORT", .help = "Port on this machine, 0: any; LOCAL:TARGET also chooses one of the application's ports" },
        { NULL },
};

const struct argument proxy_app_arguments[] = {
        { "app", .is_required = true, .help = "Name of the application" },
        { NULL },
};

enum { PORT_MAX = 65535, ANY = 0, IDS_ARENA = 16 * MiB };

/* target 0: not given. */
static struct error *read_ports(const struct flags *given, int64_t *ret_local, int64_t *ret_target)
{
        struct str rest = str_of(flags_text(given, "port"));
        bool has_target = str_find_char(rest, ':') < rest.len;
        struct str local = str_split(&rest, ':');

        *ret_local = ANY;
        *ret_target = 0;
        if (!flags_given(given, "port"))
                return NULL;
        TRY(parse_int(local, 0, PORT_MAX, "--port", ret_local));
        return has_target ? parse_int(rest, 1, PORT_MAX, "the port of the application in --port", ret_target) : NULL;
}

/* The IDs of the hosts that offer the application, in the arena, and the port that connections name; target as above. */
static struct error *find(const struct profile *p, struct arena *arena, const char *app, int64_t target, const char ***ret_ids, size_t *ret_count, uint32_t *ret_port)
{
        AUTO(api_client) a = { 0 }; /* its connection ends with this function */
        Cteleport__V1__AppServer **servers = NULL;
        size_t count = 0, kept = 0;

        TRY(api_client_open(&a, p));
        TRY(user_apps(&a, &servers, &count));
        for (size_t i = 0; i < count; i++)
                if (strcmp(servers[i]->metadata->name, app) == 0)
                        servers[kept++] = servers[i];
        *ret_ids = arena_alloc(arena, (kept + 1) * sizeof **ret_ids);
        for (size_t i = 0; i < kept; i++)
                (*ret_ids)[i] = str_to_c(arena, str_of(servers[i]->spec->host_id));
        *ret_count = kept;
        if (kept > 0)
                return app_port_choose(servers, kept, (uint32_t)target, ret_port);
        AUTO_MEM char *shown = escaped(str_of(app));
        return error_hint(error_new(ERROR_NOT_FOUND, "there is no application '%s' that you may reach", shown),
                          "`tsh apps ls` lists the applications you can reach");
}

static struct error *start_listening(const struct flags *given, int64_t local, const char *app, int *ret_fd)
{
        AUTO_MEM char *wanted = mem_printf("127.0.0.1:%d", (int)local);
        char address[ADDRESS_TEXT_MAX];

        struct error *err = socket_listen_tcp(str_of(wanted), ret_fd, address);
        if (err != NULL)
                return local == ANY ? err : error_hint(err, "choose another port: --port=PORT");
        printf("Proxying connections to %s on %s\n", app, address);
        if (!flags_given(given, "port"))
                printf("The port is another one at each start; --port=PORT chooses it.\n");
        fflush(stdout);
        return NULL;
}

struct error *proxy_app_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO_PTR(arena) arena = arena_new(IDS_ARENA);
        const char *app = flags_argument(given, 0), **ids = NULL;
        int64_t local, target;
        uint32_t port = 0;
        size_t count = 0;
        int fd = -1;

        (void)ctx;
        TRY(read_ports(given, &local, &target));
        TRY(user_load(given, &p));
        TRY(find(&p, arena, app, target, &ids, &count, &port));
        TRY(start_listening(given, local, app, &fd));
        return app_forward_run(&p, app, port, fd, ids, count);
}
