/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/session_decision.h"

#include "base/log.h"
#include "base/mem.h"
#include "rpc/pb.h"

unsigned session_permits(const struct answer *answer)
{
        return (answer->permits_pty ? LOGIN_PERMIT_PTY : 0u) | (answer->permits_port_forwarding ? LOGIN_PERMIT_PORT_FORWARDING : 0u) |
               (answer->permits_agent_forwarding ? LOGIN_PERMIT_AGENT_FORWARDING : 0u);
}

unsigned session_permits_of_roles(const struct answer *answer)
{
        return LOGIN_PERMIT_PTY | (answer->may.port_forwarding ? LOGIN_PERMIT_PORT_FORWARDING : 0u) |
               (answer->may.agent_forwarding ? LOGIN_PERMIT_AGENT_FORWARDING : 0u);
}

void session_keep_permits(unsigned permits, struct answer *answer)
{
        answer->permits_pty = (permits & LOGIN_PERMIT_PTY) != 0;
        answer->permits_port_forwarding = answer->may.port_forwarding && (permits & LOGIN_PERMIT_PORT_FORWARDING) != 0;
        answer->permits_agent_forwarding = answer->may.agent_forwarding && (permits & LOGIN_PERMIT_AGENT_FORWARDING) != 0;
}

const char *session_permits_taken(unsigned permits, const struct answer *answer)
{
        if ((permits & LOGIN_PERMIT_PORT_FORWARDING) != 0 && !answer->may.port_forwarding)
                return "your roles no longer allow the forwarding of ports, which this connection was permitted: connect again";
        if ((permits & LOGIN_PERMIT_AGENT_FORWARDING) != 0 && !answer->may.agent_forwarding)
                return "your roles no longer allow the forwarding of an agent, which this connection was permitted: connect again";
        return NULL;
}

struct error *session_check_options(const struct session_options *w, const struct answer *answer)
{
        if (w->is_copy && !answer->may.file_copy)
                return error_new(ERROR_PERMISSION_DENIED, SESSION_NO_COPY);
        if (w->has_pty && !w->is_recorded && answer->may.record == ACCESS_RECORD_STRICT)
                return error_new(ERROR_PERMISSION_DENIED, "this session must be recorded, and this node cannot record it now");
        return NULL;
}

void session_decision_parts_release(struct session_decision_parts *parts)
{
        arena_free(parts->arena);
        *parts = (struct session_decision_parts){ 0 };
}

/* Borrows from the record. */
static void put_traits(Cteleport__V1__AppPermits *app, struct arena *arena, const Cteleport__V1__User *user)
{
        size_t size = 0;

        if (user == NULL || user->spec == NULL)
                return;
        app->traits = arena_alloc(arena, (user->spec->n_traits + 1) * sizeof *app->traits);
        for (size_t i = 0; i < user->spec->n_traits; i++) {
                const Cteleport__V1__StringList *values = user->spec->traits[i]->value;
                Cteleport__V1__AppTrait *trait = arena_alloc(arena, sizeof *trait);

                cteleport__v1__app_trait__init(trait);
                trait->name = user->spec->traits[i]->key;
                trait->values = values == NULL ? NULL : values->values;
                trait->n_values = values == NULL ? 0 : values->n_values;
                size += cteleport__v1__app_trait__get_packed_size(trait);
                if (size > LIMIT_APP_TRAITS)
                        return;
                app->traits[app->n_traits++] = trait;
        }
}

void session_decision_fill(const struct answer *answer, const Cteleport__V1__User *record, char *user, Cteleport__V1__ReportDecision *d,
                           struct session_decision_parts *parts)
{
        Cteleport__V1__NodePermits *node = &parts->node;
        Cteleport__V1__AppPermits *app = &parts->app;

        d->user = user;
        d->is_allowed = answer->refusal == NULL;
        if (answer->refusal != NULL) {
                d->reason = answer->refusal->what;
                return;
        }
        for (size_t i = 0; i < answer->role_count && d->n_roles < LIMIT_AUDIT_VALUES; i++)
                parts->roles[d->n_roles++] = pb_text(answer->roles[i].ptr);
        d->roles = parts->roles;
        d->idle_timeout_ms = duration_ms(answer->may.idle_timeout);
        d->ends = answer->ends;
        if (answer->fields.app.name.len > 0) {
                cteleport__v1__app_permits__init(app);
                app->name = pb_text(answer->fields.app.name.ptr);
                app->port = answer->fields.app.port;
                parts->arena = arena_new(LIMIT_APP_TRAITS);
                put_traits(app, parts->arena, record);
                d->app = app;
                return;
        }
        cteleport__v1__node_permits__init(node);
        node->pty = answer->permits_pty;
        node->port_forwarding = answer->permits_port_forwarding;
        node->agent_forwarding = answer->permits_agent_forwarding;
        node->file_copy = answer->may.file_copy;
        node->record = pb_text(answer->may.record == ACCESS_RECORD_STRICT ? "strict" : "best_effort");
        d->node = node;
}

void session_decision_sign(const struct auth *a, const struct login_permit *permit, Cteleport__V1__ReportDecision *d, struct buf *signature)
{
        if (a->tls_cert.len == 0)
                return;
        AUTO_PTR(error) err = login_permit_sign(permit, &a->tls_key, signature);
        if (err != NULL) {
                log_warn("A login that is allowed cannot be signed for", LOG_STR("connection_id", permit->connection_id), LOG_ERR(err));
                return;
        }
        d->signature = (ProtobufCBinaryData){ signature->len, (uint8_t *)signature->ptr };
        d->signer_cert = (ProtobufCBinaryData){ a->tls_cert.len, (uint8_t *)a->tls_cert.ptr };
        d->signer_ca = (ProtobufCBinaryData){ a->tls_ca.len, (uint8_t *)a->tls_ca.ptr }; /* that signed this certificate */
}
