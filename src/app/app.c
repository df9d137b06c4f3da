/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/spool.h"
#include "app/app_service.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/roots.h"
#include "os/fdpass.h"
#include "os/sandbox.h"

/* ---- the applications ------------------------------------------------------------------------------------- */

static void on_app_ended(void *ctx, struct offered_app *app, const char *why)
{
        app_connections_end_of(ctx, app, why);
}

static void on_apps(void *ctx, const Cteleport__Internal__V1__Apps *sent)
{
        struct app_service *s = ctx;

        offered_apps_set(&s->apps, sent, on_app_ended, s);
        log_info("The applications of this host", LOG_INT("count", (int64_t)s->apps.by_name.count));
        loop_trim_later(&s->loop);
}

static size_t names(void *ctx, char **list)
{
        struct app_service *s = ctx;

        return offered_apps_names(&s->apps, list);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static size_t open_connections(const void *ctx)
{
        const struct app_service *s = ctx;

        return s->connections.count;
}

static void end_all(void *ctx, const char *why)
{
        app_connections_end(ctx, why);
}

static void finish(void *ctx)
{
        struct app_service *s = ctx;

        agent_close_tunnels(s->agent);
        app_connections_free(s);
        spool_close(s->spool);
        s->spool = NULL;
        agent_free(s->agent);
        s->agent = NULL;
}

static const struct lifecycle_events lifecycle_events = { .open = open_connections, .end_all = end_all, .finish = finish };

/* ---- messages of the supervisor --------------------------------------------------------------------------- */

static void on_stop(void *ctx)
{
        struct app_service *s = ctx;

        lifecycle_stop(&s->life);
}

static void on_drain(void *ctx)
{
        struct app_service *s = ctx;

        lifecycle_drain(&s->life);
}

static void on_replace(void *ctx)
{
        struct app_service *s = ctx;

        lifecycle_replace(&s->life);
}

static void on_link(void *ctx, const char *name, int fd)
{
        struct app_service *s = ctx;

        if (s->agent == NULL)
                fd_close_at(&fd);
        else
                agent_use_link(s->agent, name, fd);
}

static const struct service_events service_events = { .on_stop = on_stop, .on_drain = on_drain, .on_replace = on_replace, .on_link = on_link };

/* ---- main ------------------------------------------------------------------------------------------------- */

/* The section at the start of this process. Its applications come from the instance process. */
static const Cteleport__V1__AppServiceConfig *app_config(const struct app_service *s)
{
        static const Cteleport__V1__AppServiceConfig none = CTELEPORT__V1__APP_SERVICE_CONFIG__INIT;

        return s->boot->config->app_service != NULL ? s->boot->config->app_service : &none;
}

static void read_boot(struct app_service *s)
{
        static const Cteleport__V1__TeleportConfig no_config = CTELEPORT__V1__TELEPORT_CONFIG__INIT;
        const Cteleport__V1__Config *config = s->boot->config;

        s->memory = (struct budget){ .total = LIMIT_STREAM_MEMORY_APP, .share = LIMIT_STREAM_MEMORY_APP };
        s->user_connections.limits = (struct share_limits){ LIMIT_APP_CONNECTIONS, LIMIT_APP_CONNECTIONS_USER, LIMIT_APP_CONNECTIONS_RESERVE,
                                                            LIMIT_APP_CONNECTIONS_RESERVED };
        s->config = config->teleport != NULL ? config->teleport : &no_config;
        app_targets_init(&s->targets, app_config(s));
}

/* Records of requests are the only files of this process: their directory becomes the working directory, before the user changes. */
static struct error *enter_sandbox(struct app_service *s)
{
        static const char *const write[] = { ".", NULL };
        AUTO_MEM char *spool = mem_printf("%s/spool-app", s->boot->data_dir);

        backend_tls_load(&s->backends, app_config(s));
        if (!service_is_here(s->boot, "auth")) /* a local process verifies no server by them */
                roots_read(&s->roots);
        TRY(sandbox_take_dir(&s->service->row->user, spool));
        TRY(sandbox_become_unprivileged(&s->service->row->user));
        TRY(sandbox_enter(s->service->row->sandbox, (struct sandbox_paths){ .write = write, .read = roots_paths(s->service->arena) }));
        roots_drop_if_open(&s->roots);
        return NULL;
}

static void on_request(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request)
{
        app_connection_begin(ctx, in, request);
}

/* A request is answered at once, so none is pending when it ends. */
static void on_request_gone(void *ctx, struct tunnel_incoming *in)
{
        (void)ctx;
        (void)in;
}

static void on_connected(void *ctx)
{
        const struct app_service *s = ctx;

        if (s->boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_AGENT && s->boot->agent->takes_connected)
                service_send(s->service, &(struct child_message){ .kind = CHILD_SENT_CONNECTED });
}

static const struct agent_events agent_events = { .on_request = on_request, .on_gone = on_request_gone, .on_connected = on_connected,
                                                   .on_apps = on_apps, .names = names };

static struct agent_options agent_options(struct app_service *s)
{
        return (struct agent_options){
                .service = s->service,
                .proxy_server = s->config->proxy_server,
                .is_local = service_is_here(s->boot, "auth"),
                .roots_pem = buf_str(&s->roots),
                .is_insecure = s->boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_AGENT && s->boot->agent->insecure,
                .events = &agent_events,
                .ctx = s,
        };
}

static struct error *set_up(void *ctx)
{
        struct app_service *s = ctx;

        read_boot(s);
        TRY(enter_sandbox(s));
        TRY(service_control(s->service, &s->loop, &service_events, s));
        s->agent = agent_new(&s->loop, agent_options(s));
        lifecycle_init(&s->life, s->agent, "Application Service", &lifecycle_events, s);
        s->spool = spool_open(s->agent, ".");
        return NULL;
}

static void tear_down(void *ctx)
{
        struct app_service *s = ctx;

        map_release(&s->connections);
        offered_apps_release(&s->apps);
        shares_release(&s->user_connections);
        lifecycle_release(&s->life);
        user_tls_release(&s->users_tls);
        backend_tls_release(&s->backends);
        app_targets_release(&s->targets);
        service_end(s->service);
        loop_release(&s->loop);
        budget_release(&s->memory);
        buf_release(&s->roots);
}

int app_main(struct service *service)
{
        static struct app_service s;

        s.service = service;
        s.boot = service->boot;
        return lifecycle_run(&(struct lifecycle_main){ service, &s.loop, "Application Service", set_up, tear_down, &s });
}
