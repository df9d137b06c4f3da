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

void session_decision_fill(const struct answer *answer, char *user, Cteleport__V1__ReportDecision *d, char *roles[LIMIT_AUDIT_VALUES],
                           Cteleport__V1__NodePermits *node, Cteleport__V1__AppPermits *app)
{
        d->user = user;
        d->is_allowed = answer->refusal == NULL;
        if (answer->refusal != NULL) {
                d->reason = answer->refusal->what;
                return;
        }
        for (size_t i = 0; i < answer->role_count && d->n_roles < LIMIT_AUDIT_VALUES; i++)
                roles[d->n_roles++] = pb_text(answer->roles[i].ptr);
        d->roles = roles;
        d->idle_timeout_ms = duration_ms(answer->may.idle_timeout);
        d->ends = answer->ends;
        if (answer->fields.app.name.len > 0) {
                app->name = pb_text(answer->fields.app.name.ptr);
                d->app = app;
                return;
        }
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
