/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service `labels`: runs the commands of ssh_service.commands and of applications, as the user that started `teleport`, and
 * reports their values to `instance`. It runs only where such commands are configured, and receives no requests.
 */
#include <stdlib.h>
#include <unistd.h>

#include "api/service.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "instance/labels.h"
#include "os/sandbox.h"
#include "rpc/link.h"
#include "rpc/pb.h"

struct labels_service {
        struct loop loop;
        struct service *service;
        struct labels *labels;
        struct link *link; /* NULL: lost, and a new one was requested */
        struct timer *request_again;
        bool is_stopping;
};

/* ---- reports ---------------------------------------------------------------------------------------- */

static void on_taken(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        (void)ctx;
        (void)answer;
        if (err != NULL && !error_is_for(err, REASON_SIBLING))
                log_warn("The value of a label was not accepted", LOG_ERR(err));
        error_free(err);
}

static void send_message(struct labels_service *s, const struct label_result *label)
{
        Cteleport__Internal__V1__LabelResult sent = CTELEPORT__INTERNAL__V1__LABEL_RESULT__INIT;

        if (s->link == NULL)
                return;
        sent.app = pb_text(label->app);
        sent.name = pb_text(label->name);
        sent.result = pb_text(label->result);
        link_request(s->link, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_LABEL, &sent.base,
                 &cteleport__internal__v1__label_taken__descriptor, MILLISECONDS(TIMEOUT_RPC), on_taken, NULL);
}

static void on_changed(void *ctx, const struct label_result *label)
{
        send_message(ctx, label);
}

static void on_lost(void *ctx)
{
        struct labels_service *s = ctx;

        if (s->link != NULL)
                link_close(s->link);
        s->link = NULL;
        if (!s->is_stopping)
                timer_start(s->request_again, MILLISECONDS(PACE_RELINK));
}

static void on_request_again(void *ctx)
{
        struct labels_service *s = ctx;

        service_relink(s->service, "instance");
        timer_start(s->request_again, MILLISECONDS(PACE_RELINK));
}

/* A new `instance` process has no values yet, so all are sent again. */
static void on_link(void *ctx, const char *name, int fd)
{
        struct labels_service *s = ctx;
        const struct label_result *list;

        (void)name;
        timer_stop(s->request_again);
        if (s->link != NULL)
                link_close(s->link);
        s->link = link_new(&s->loop, fd, on_lost, s);
        size_t count = s->labels == NULL ? 0 : labels_list(s->labels, &list);
        for (size_t i = 0; i < count; i++)
                send_message(s, &list[i]);
}

static void on_stop(void *ctx)
{
        struct labels_service *s = ctx;

        s->is_stopping = true;
        timer_stop(s->request_again);
        labels_free(s->labels); /* the loop runs until the programs have ended */
        s->labels = NULL;
        if (s->link != NULL)
                link_close(s->link);
        s->link = NULL;
}

/* ---- the sandbox ------------------------------------------------------------------------------------ */

/* Beside an Auth Service the commands can read the programs of this host, but not the data directory, which has the CA keys. */
static struct error *enter_sandbox_beside_auth(const struct service *s)
{
        static const char *const places[] = { "/bin", "/sbin", "/usr", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/home",
                                              "/root", "/proc", "/sys", "/dev", "/run", "/snap", "/nix" };
        static const char *const write[] = { "/dev/null", NULL };
        const char *read[ARRAY_LEN(places) + 1] = { NULL };
        size_t count = 0;

        for (size_t n = 0; n < ARRAY_LEN(places); n++) {
                AUTO_MEM char *beneath = mem_printf("%s/", places[n]);
                if (!str_starts_with(str_of(s->boot->data_dir), str_of(beneath)))
                        read[count++] = places[n];
        }
        return sandbox_enter(s->row->sandbox, (struct sandbox_paths){ .read = read, .write = write });
}

static struct error *enter_sandbox(const struct service *s)
{
        const char *home = getenv("HOME");
        AUTO_MEM char *aws_dir = mem_printf("%s/.aws", home == NULL ? "" : home); /* the cache of the AWS command line */
        const char *const read[] = { "/", NULL };
        const char *const write[] = { "/tmp", "/dev/null", access(aws_dir, W_OK) == 0 ? aws_dir : NULL, NULL };

        if (service_is_here(s->boot, "auth"))
                return enter_sandbox_beside_auth(s);
        return sandbox_enter(s->row->sandbox, (struct sandbox_paths){ .read = read, .write = write });
}

/* ---- main ------------------------------------------------------------------------------------------- */

static const struct service_events service_events = { .on_stop = on_stop, .on_link = on_link };

static struct error *set_up(struct labels_service *s)
{
        TRY(loop_init(&s->loop, NULL));
        TRY(enter_sandbox(s->service));
        log_debug("sandbox", LOG_C("has", sandbox_describe()));
        s->request_again = timer_new(&s->loop, on_request_again, s);
        TRY(service_control(s->service, &s->loop, &service_events, s));
        int fd = service_take_fd(s->service, "instance");
        if (fd >= 0)
                on_link(s, "instance", fd);
        s->labels = labels_new(&s->loop, s->service->boot->config, on_changed, s);
        return NULL;
}

int labels_main(struct service *service)
{
        struct labels_service s = { .service = service };
        struct error *err = set_up(&s);

        if (err != NULL) {
                service_fatal(service, err);
                return 1;
        }
        service_ready(service);
        loop_run(&s.loop);
        timer_free(s.request_again);
        service_end(service);
        loop_release(&s.loop);
        return 0;
}
