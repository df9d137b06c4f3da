/* SPDX-License-Identifier: Apache-2.0 */
/* Long polls at the instance process, which has the identity of this service, the list of proxies and the table of what it offers. */
#include <stdlib.h>

#include "agent/agent_internal.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/auth_client.h"
#include "cluster/identity_message.h"
#include "rpc/link.h"
#include "rpc/pb.h"

struct instance_link {
        struct agent *agent;
        struct link *link; /* NULL: lost */
        struct timer *request_again;
        char *proxies_revision; /* of the current list; "" for none */
        char *apps_revision;    /* of the current table; "" for none */
        bool is_identity_requested, are_proxies_requested, are_apps_requested;
        bool is_reporting, is_stale; /* a report of the tunnels is pending; they have changed since */
        bool is_freed; /* the memory is freed when the pending requests are answered */
};

static void free_when_answered(struct instance_link *k)
{
        if (!k->is_freed || k->is_identity_requested || k->are_proxies_requested || k->are_apps_requested || k->is_reporting)
                return;
        free(k->proxies_revision);
        free(k->apps_revision);
        free(k);
}

/* DEADLINE_EXCEEDED is the normal end of a long poll. A lost link is replaced by the supervisor, or requested. */
static void report_trouble(struct error *err, const char *event)
{
        if (err->code != ERROR_DEADLINE_EXCEEDED && !error_is_for(err, REASON_SIBLING))
                log_warn(event, LOG_ERR(err));
        error_free(err);
}

/* Role names are constants of the table of services, and end in NUL. */
static char *role_of(const struct instance_link *k)
{
        return pb_text(k->agent->row->role.name.ptr);
}

static void on_identity(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct instance_link *k = ctx;
        const Cteleport__Internal__V1__Identity *msg = (const Cteleport__Internal__V1__Identity *)answer;
        struct host_identity id = { 0 };

        k->is_identity_requested = false;
        if (k->is_freed) {
                error_free(err);
                free_when_answered(k);
                return;
        }
        if (err == NULL)
                err = identity_of_message(msg, role_of(k), &id);
        if (err == NULL)
                agent_use_identity(k->agent, &id, msg->auth_addr);
        else
                report_trouble(err, "This service's identity cannot be used");
        timer_start(k->request_again, MILLISECONDS(PACE_RETRY_FIRST));
}

static void on_proxies(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct instance_link *k = ctx;
        const Cteleport__Internal__V1__Proxies *list = (const Cteleport__Internal__V1__Proxies *)answer;

        k->are_proxies_requested = false;
        if (k->is_freed) {
                error_free(err);
                free_when_answered(k);
                return;
        }
        if (err == NULL) {
                free(k->proxies_revision);
                k->proxies_revision = str_dup(str_of(list->revision));
                if (k->agent->tunnels != NULL)
                        tunnel_keeper_set(k->agent->tunnels, list);
                auth_client_use_proxies(k->agent->auth, list);
        } else {
                report_trouble(err, "The list of proxies cannot be had");
        }
        timer_start(k->request_again, MILLISECONDS(PACE_RETRY_FIRST));
}

static void on_apps(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct instance_link *k = ctx;
        const Cteleport__Internal__V1__Apps *apps = (const Cteleport__Internal__V1__Apps *)answer;

        k->are_apps_requested = false;
        if (k->is_freed) {
                error_free(err);
                free_when_answered(k);
                return;
        }
        if (err == NULL) {
                free(k->apps_revision);
                k->apps_revision = str_dup(str_of(apps->revision));
                k->agent->options.events->on_apps(k->agent->options.ctx, apps);
        } else {
                report_trouble(err, "The table of applications cannot be had");
        }
        timer_start(k->request_again, MILLISECONDS(1)); /* the request names what is offered now */
}

static void request_identity(struct instance_link *k)
{
        const struct held_identity *have = k->agent->identity;
        AUTO_MEM char *serial = str_dup(have == NULL ? STR("") : have->id.serial);
        Cteleport__Internal__V1__IdentityRequest request = CTELEPORT__INTERNAL__V1__IDENTITY_REQUEST__INIT;

        request.role = role_of(k);
        request.have_serial = serial;
        k->is_identity_requested = true;
        link_request(k->link, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY, &request.base,
                 &cteleport__internal__v1__identity__descriptor, HOURS(1), on_identity, k);
}

static void request_proxies(struct instance_link *k)
{
        Cteleport__Internal__V1__ProxiesRequest request = CTELEPORT__INTERNAL__V1__PROXIES_REQUEST__INIT;

        request.have_revision = k->proxies_revision;
        k->are_proxies_requested = true;
        link_request(k->link, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_PROXIES, &request.base,
                 &cteleport__internal__v1__proxies__descriptor, HOURS(1), on_proxies, k);
}

static void request_apps(struct instance_link *k)
{
        Cteleport__Internal__V1__AppsRequest request = CTELEPORT__INTERNAL__V1__APPS_REQUEST__INIT;
        char *names[LIMIT_APPS];

        request.have_revision = k->apps_revision;
        request.names = names;
        request.n_names = k->agent->options.events->names(k->agent->options.ctx, names);
        k->are_apps_requested = true;
        link_request(k->link, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_APPS, &request.base, &cteleport__internal__v1__apps__descriptor, HOURS(1),
                 on_apps, k);
}

static void on_reported(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct instance_link *k = ctx;
        bool was_reported = err == NULL;

        (void)answer;
        error_free(err); /* the report is repeated on the next link */
        k->is_reporting = false;
        if (k->is_freed)
                free_when_answered(k);
        else if (was_reported && k->is_stale)
                instance_link_report_tunnels(k);
}

void instance_link_report_tunnels(struct instance_link *k)
{
        Cteleport__Internal__V1__TunnelsReport report = CTELEPORT__INTERNAL__V1__TUNNELS_REPORT__INIT;

        if (k == NULL || k->link == NULL || k->is_freed)
                return;
        k->is_stale = k->is_reporting;
        if (k->is_reporting)
                return;
        const struct held_identity *have = k->agent->identity;
        AUTO_MEM char *host_id = str_dup(have == NULL ? STR("") : have->id.host_id);
        report.host_id = host_id;
        report.count = (uint32_t)(k->agent->tunnels == NULL ? 0 : tunnel_keeper_count(k->agent->tunnels));
        k->is_reporting = true;
        link_request(k->link, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_TUNNELS, &report.base,
                 &cteleport__internal__v1__tunnels_noted__descriptor, HOURS(1), on_reported, k);
}

static void on_request_again(void *ctx)
{
        struct instance_link *k = ctx;

        if (k->link == NULL) {
                service_relink(k->agent->options.service, "instance");
                timer_start(k->request_again, MILLISECONDS(PACE_RELINK));
                return;
        }
        if (!k->is_identity_requested)
                request_identity(k);
        if (!k->are_proxies_requested)
                request_proxies(k);
        if (!k->are_apps_requested && k->agent->options.events->on_apps != NULL)
                request_apps(k);
}

static void on_lost(void *ctx)
{
        struct instance_link *k = ctx;

        link_close(k->link);
        k->link = NULL;
        timer_start(k->request_again, MILLISECONDS(PACE_RELINK));
}

struct instance_link *instance_link_new(struct agent *a)
{
        struct instance_link *k = NEW(struct instance_link);

        k->agent = a;
        k->proxies_revision = str_dup(STR(""));
        k->apps_revision = str_dup(STR(""));
        k->request_again = timer_new(a->loop, on_request_again, k);
        timer_start(k->request_again, MILLISECONDS(PACE_RELINK));
        return k;
}

void instance_link_use(struct instance_link *k, int fd)
{
        if (k->link != NULL)
                link_close(k->link);
        k->link = link_new(k->agent->loop, fd, on_lost, k);
        timer_start(k->request_again, MILLISECONDS(1));
        instance_link_report_tunnels(k);
}

void instance_link_free(struct instance_link *k)
{
        if (k == NULL)
                return;
        timer_free(k->request_again);
        k->is_freed = true;
        if (k->link != NULL)
                link_close(k->link); /* pending requests end with an error */
        free_when_answered(k);
}
