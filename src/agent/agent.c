/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <stdlib.h>

#include "agent/agent_internal.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/auth_client.h"
#include "net/socket.h"

/* ---- the identity ------------------------------------------------------------------------------------------- */

struct held_identity *identity_hold(struct held_identity *h)
{
        h->holders++;
        return h;
}

void identity_release(struct held_identity *h)
{
        if (h == NULL || --h->holders > 0)
                return;
        host_identity_release(&h->id);
        free(h);
}

void agent_use_identity(struct agent *a, struct host_identity *id, const char *auth_addr)
{
        struct held_identity *h = NEW(struct held_identity), *old = a->identity;
        bool has_auth_addr = auth_addr != NULL && auth_addr[0] != '\0';

        *h = (struct held_identity){ .id = *id, .holders = 1 };
        *id = (struct host_identity){ 0 };
        AUTO_MEM char *event = mem_printf("The %s has its identity", a->row->title);
        log_info(event, LOG_STR("cluster", h->id.cluster), LOG_STR("serial", h->id.serial));
        a->identity = h;
        auth_client_use_identity(a->auth, &h->id, str_of(has_auth_addr ? NULL : a->options.proxy_server), str_of(auth_addr));
        identity_release(old);
        if (a->tunnels != NULL)
                tunnel_keeper_renew(a->tunnels);
        instance_link_report_tunnels(a->instance);
        loop_trim_later(a->loop); /* an idle agent should be small */
}

const struct host_identity *agent_identity(const struct agent *a)
{
        static const struct host_identity none;

        return a->identity == NULL ? &none : &a->identity->id;
}

/* ---- links and clients ---------------------------------------------------------------------------------------- */

static void relink_auth(void *ctx)
{
        struct agent *a = ctx;

        service_relink(a->options.service, "auth");
}

void agent_use_link(struct agent *a, const char *name, int fd)
{
        if (strcmp(name, "instance") == 0)
                instance_link_use(a->instance, fd);
        else
                auth_client_use_link(a->auth, fd);
}

void agent_request_auth(struct agent *a, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        auth_client_request(a->auth, done, ctx);
}

struct loop *agent_loop(struct agent *a)
{
        return a->loop;
}

const struct service_row *agent_row(const struct agent *a)
{
        return a->row;
}

size_t *agent_pending_reports(struct agent *a)
{
        return &a->pending_reports;
}

/* ---- start and end ---------------------------------------------------------------------------------------------- */

static void use_boot_link(struct agent *a, const char *name)
{
        int fd = service_take_fd(a->options.service, name);

        if (fd >= 0)
                agent_use_link(a, name, fd);
}

struct agent *agent_new(struct loop *l, struct agent_options options)
{
        struct agent *a = NEW(struct agent);

        *a = (struct agent){ .loop = l, .options = options, .row = services_of_process(options.service->row->name) };
        a->auth = auth_client_new(l, (struct auth_client_options){ .relink = options.is_local ? relink_auth : NULL, .ctx = a,
                                                                   .roots_pem = options.roots_pem, .is_insecure = options.is_insecure });
        a->tunnels = tunnel_keeper_new(a);
        a->instance = instance_link_new(a);
        use_boot_link(a, "auth");
        use_boot_link(a, "instance");
        return a;
}

void agent_drain(struct agent *a)
{
        if (a->tunnels != NULL)
                tunnel_keeper_drain(a->tunnels);
}

void agent_leave(struct agent *a)
{
        if (a->tunnels != NULL)
                tunnel_keeper_leave(a->tunnels);
}

void agent_close_tunnels(struct agent *a)
{
        tunnel_keeper_free(a->tunnels);
        a->tunnels = NULL;
}

void agent_free(struct agent *a)
{
        if (a == NULL)
                return;
        auth_client_free(a->auth);
        instance_link_free(a->instance);
        identity_release(a->identity);
        free(a);
}
