/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/ssh.h"

#include <stdlib.h>

#include "agent/spool.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/roots.h"
#include "os/sandbox.h"
#include "ssh/ssh_service.h"

/* ---- values for other modules ------------------------------------------------------------------------------ */

struct loop *ssh_loop(struct ssh_service *s)
{
        return &s->loop;
}

uid_t ssh_authorize_uid(const struct ssh_service *s)
{
        return s->boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_SSH ? s->boot->ssh->authorize_uid : 0;
}

const Cteleport__V1__SSHConfig *ssh_config(const struct ssh_service *s)
{
        return s->ssh_config;
}

struct spool *ssh_spool(struct ssh_service *s)
{
        return s->spool;
}

const struct host_identity *ssh_identity(const struct ssh_service *s)
{
        return agent_identity(s->agent);
}

const char *ssh_node_name(const struct ssh_service *s)
{
        return s->boot->nodename;
}

/* The configured proxy_server; else, on a host with a Proxy Service, its first public address. */
const char *ssh_proxy_addr(const struct ssh_service *s)
{
        const Cteleport__V1__ProxyConfig *proxy = s->boot->config->proxy_service;

        if (s->config->proxy_server != NULL && s->config->proxy_server[0] != '\0')
                return s->config->proxy_server;
        return proxy != NULL && proxy->n_public_addr > 0 ? proxy->public_addr[0] : "";
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static size_t open_connections(const void *ctx)
{
        const struct ssh_service *s = ctx;

        return s->connections.count;
}

static void end_all(void *ctx, const char *why)
{
        connections_end(ctx, why);
}

static void finish(void *ctx)
{
        struct ssh_service *s = ctx;

        agent_close_tunnels(s->agent);
        helpers_close(s->helpers);
        s->helpers = NULL;
        spool_close(s->spool);
        s->spool = NULL;
        connections_free(s);
        agent_free(s->agent);
        s->agent = NULL;
}

static const struct lifecycle_events lifecycle_events = { .open = open_connections, .end_all = end_all, .finish = finish };

void ssh_connection_gone(struct ssh_service *s)
{
        lifecycle_connection_gone(&s->life);
}

static void on_stop(void *ctx)
{
        struct ssh_service *s = ctx;

        lifecycle_stop(&s->life);
}

static void on_drain(void *ctx)
{
        struct ssh_service *s = ctx;

        lifecycle_drain(&s->life);
}

static void on_replace(void *ctx)
{
        struct ssh_service *s = ctx;

        lifecycle_replace(&s->life);
}

/* Another process of this service may have left recordings. */
static void on_reload(void *ctx)
{
        struct ssh_service *s = ctx;

        if (s->spool != NULL && !s->life.is_stopping)
                spool_send_old(s->spool);
}

/* ---- messages of the supervisor ------------------------------------------------------------------------------------ */

static void on_link(void *ctx, const char *name, int fd)
{
        struct ssh_service *s = ctx;

        if (s->agent == NULL)
                fd_close_at(&fd);
        else
                agent_use_link(s->agent, name, fd);
}

static void on_own(void *ctx, const Cteleport__Internal__V1__Control *control, int fd)
{
        struct ssh_service *s = ctx;

        if (control->own_case != CTELEPORT__INTERNAL__V1__CONTROL__OWN_SSH)
                fd_close_at(&fd);
        else if (control->ssh->kind == CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__HELPER_CHECKED)
                helper_checked(s, control->ssh);
        else
                connection_on_sshd(s, control->ssh, fd);
}

static const struct service_events service_events = {
        .on_stop = on_stop, .on_drain = on_drain, .on_replace = on_replace, .on_reload = on_reload, .on_link = on_link, .on_own = on_own,
};

/* ---- main -------------------------------------------------------------------------------------------------------------- */

static void read_boot(struct ssh_service *s)
{
        static const Cteleport__V1__TeleportConfig no_config = CTELEPORT__V1__TELEPORT_CONFIG__INIT;
        static const Cteleport__V1__SSHConfig no_ssh_config = CTELEPORT__V1__SSHCONFIG__INIT;
        const Cteleport__V1__Config *config = s->boot->config;

        s->memory = (struct budget){ .total = LIMIT_STREAM_MEMORY_NODE, .share = LIMIT_STREAM_MEMORY_NODE };
        s->config = config->teleport != NULL ? config->teleport : &no_config;
        s->ssh_config = config->ssh_service != NULL ? config->ssh_service : &no_ssh_config;
}

/* Recordings are the only files of this process: their directory becomes the working directory, before the user changes. */
static struct error *enter_sandbox(struct ssh_service *s)
{
        static const char *const write[] = { ".", NULL };
        AUTO_MEM char *spool = mem_printf("%s/spool", s->boot->data_dir);

        TRY(sandbox_take_dir(&s->service->row->user, spool));
        if (!service_is_here(s->boot, "auth")) /* a local process verifies no server by them */
                roots_read(&s->roots);
        TRY(sandbox_become_unprivileged(&s->service->row->user));
        TRY(sandbox_enter(s->service->row->sandbox, (struct sandbox_paths){ .write = write, .read = roots_paths(s->service->arena) }));
        roots_drop_if_open(&s->roots);
        return NULL;
}

static void on_request(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request)
{
        connection_begin(ctx, in, request);
}

static void on_request_gone(void *ctx, struct tunnel_incoming *in)
{
        connection_client_gone(ctx, in);
}

static void on_connected(void *ctx)
{
        const struct ssh_service *s = ctx;

        if (s->boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_SSH && s->boot->ssh->takes_connected)
                service_send(s->service, &(struct child_message){ .kind = CHILD_SENT_CONNECTED });
}

static const struct agent_events agent_events = { .on_request = on_request, .on_gone = on_request_gone, .on_connected = on_connected };

static struct agent_options agent_options(struct ssh_service *s)
{
        return (struct agent_options){
                .service = s->service,
                .proxy_server = s->config->proxy_server,
                .is_local = service_is_here(s->boot, "auth"),
                .roots_pem = buf_str(&s->roots),
                .is_insecure = s->boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_SSH && s->boot->ssh->insecure,
                .events = &agent_events,
                .ctx = s,
        };
}

static struct error *set_up(void *ctx)
{
        struct ssh_service *s = ctx;
        int fd;

        read_boot(s);
        TRY(enter_sandbox(s));
        TRY(service_control(s->service, &s->loop, &service_events, s));
        s->agent = agent_new(&s->loop, agent_options(s));
        lifecycle_init(&s->life, s->agent, "SSH Service", &lifecycle_events, s);
        s->spool = spool_open(s->agent, ".");
        fd = service_take_fd(s->service, "helpers");
        if (fd < 0)
                return error_new(ERROR_INTERNAL, "the SSH Service has no socket for the programs of sshd");
        s->helpers = helpers_open(s, fd);
        return NULL;
}

static void tear_down(void *ctx)
{
        struct ssh_service *s = ctx;

        map_release(&s->connections);
        shares_release(&s->user_connections);
        lifecycle_release(&s->life);
        service_end(s->service);
        loop_release(&s->loop);
        budget_release(&s->memory);
        buf_release(&s->roots);
}

int ssh_main(struct service *service)
{
        static struct ssh_service s;

        s.service = service;
        s.boot = service->boot;
        return lifecycle_run(&(struct lifecycle_main){ service, &s.loop, "SSH Service", set_up, tear_down, &s });
}
