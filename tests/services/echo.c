/* SPDX-License-Identifier: Apache-2.0 */
/* The Echo Service of tests: it gets its identity from the instance, writes that to the log, and serves nothing. */
#include <stdlib.h>

#include "api/service.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/link.h"
#include "rpc/pb.h"
#include "services/services.h"

int echo_main(struct service *s);

struct echo {
        struct service *service;
        struct loop loop;
        struct link *instance;
};

static void on_stop(void *ctx)
{
        struct echo *e = ctx;

        log_info("Echo Service stops");
        link_close(e->instance);
        e->instance = NULL;
        service_end(e->service);
}

static void on_identity(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        const Cteleport__Internal__V1__Identity *identity = (const Cteleport__Internal__V1__Identity *)answer;

        (void)ctx;
        if (err == NULL)
                log_info("Echo Service has its identity", LOG_C("role", identity->role), LOG_C("host_id", identity->host_id));
        error_free(err);
}

static void on_link(void *ctx, const char *name, int fd)
{
        Cteleport__Internal__V1__IdentityRequest request = CTELEPORT__INTERNAL__V1__IDENTITY_REQUEST__INIT;
        struct echo *e = ctx;

        if (strcmp(name, "instance") != 0) {
                close(fd);
                return;
        }
        link_close(e->instance);
        e->instance = link_new(&e->loop, fd, NULL, NULL);
        request.role = pb_text(services_of_process(e->service->row->name)->role.name.ptr);
        link_request(e->instance, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY, &request.base,
                     &cteleport__internal__v1__identity__descriptor, HOURS(1), on_identity, e);
}

/* What of the configuration came with Boot: its own section, and none of the others. */
static void log_sections(const Cteleport__V1__Config *config)
{
        log_info("Echo Service was given", LOG_C("db_service", config->db_service == NULL ? "no" : "yes"),
                 LOG_C("auth_service", config->auth_service == NULL ? "no" : "yes"),
                 LOG_C("ssh_service", config->ssh_service == NULL ? "no" : "yes"));
}

static struct error *start(struct echo *e)
{
        static const struct service_events events = { .on_stop = on_stop, .on_link = on_link };

        TRY(sandbox_become_unprivileged(&e->service->row->user));
        TRY(sandbox_enter(e->service->row->sandbox, (struct sandbox_paths){ 0 }));
        TRY(loop_init(&e->loop, NULL));
        return service_control(e->service, &e->loop, &events, e);
}

int echo_main(struct service *s)
{
        static struct echo echo;

        echo.service = s;
        struct error *err = start(&echo);
        if (err != NULL) {
                service_fatal(s, err);
                return 1;
        }
        log_sections(s->boot->config);
        int fd = service_take_fd(s, "instance");
        if (fd >= 0)
                on_link(&echo, "instance", fd);
        log_info("Echo Service is ready", LOG_C("sandbox", sandbox_describe()));
        service_ready(s);
        loop_run(&echo.loop);
        loop_release(&echo.loop);
        return 0;
}
