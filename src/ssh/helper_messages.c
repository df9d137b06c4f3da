/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/helper_messages.h"

#include "pki/login_permit.h"
#include "rpc/pb.h"
#include "session/wire.h"
#include "ssh/helper_policy.h"
#include "ssh/ssh.h"

void helper_send(struct stream *s, const Cteleport__Session__V1__HelperDown *down)
{
        AUTO(buf) frame = BUF_MAX(SESSION_FRAME_MAX);

        if (s == NULL)
                return;
        session_frame_put(&frame, &down->base);
        stream_write(s, buf_str(&frame));
}

/* A message with one payload: DOWN(REFUSAL, .refusal = &refusal). */
#define DOWN(case_, ...)                                                                                                       \
        &(const Cteleport__Session__V1__HelperDown){ PROTOBUF_C_MESSAGE_INIT(&cteleport__session__v1__helper_down__descriptor), \
                                                     .payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_##case_, __VA_ARGS__ }

void helper_send_refusal(struct stream *s, const char *why, bool is_unknown)
{
        Cteleport__Session__V1__Refusal refusal = CTELEPORT__SESSION__V1__REFUSAL__INIT;

        refusal.text = pb_text(why);
        refusal.is_unknown = is_unknown;
        helper_send(s, DOWN(REFUSAL, .refusal = &refusal));
}

void helper_send_end(struct stream *s, const char *why)
{
        Cteleport__Session__V1__End end = CTELEPORT__SESSION__V1__END__INIT;

        end.text = pb_text(why);
        helper_send(s, DOWN(END, .end = &end));
}

void helper_send_unrecorded(struct stream *s, const char *why)
{
        Cteleport__Session__V1__Notice notice = CTELEPORT__SESSION__V1__NOTICE__INIT;

        notice.text = pb_text(why);
        notice.stop_output = true;
        helper_send(s, DOWN(NOTICE, .notice = &notice));
}

void helper_send_permit(struct stream *s, const Cteleport__V1__ReportDecision *decision)
{
        Cteleport__Session__V1__Permit permit = CTELEPORT__SESSION__V1__PERMIT__INIT;

        const Cteleport__V1__NodePermits *node = helper_permits(decision);

        permit.permits = (node->pty ? LOGIN_PERMIT_PTY : 0u) |
                         (node->port_forwarding ? LOGIN_PERMIT_PORT_FORWARDING : 0u) |
                         (node->agent_forwarding ? LOGIN_PERMIT_AGENT_FORWARDING : 0u);
        permit.signature = decision->signature;
        permit.signer_cert = decision->signer_cert;
        permit.signer_ca = decision->signer_ca;
        helper_send(s, DOWN(PERMIT, .permit = &permit));
}

void helper_send_approval(struct stream *s, Cteleport__Session__V1__Approval *approval)
{
        helper_send(s, DOWN(APPROVAL, .approval = approval));
}

void helper_report_rejected(struct connection *c, const char *why)
{
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        Cteleport__V1__ReportRejected rejected = CTELEPORT__V1__REPORT_REJECTED__INIT;

        rejected.reason = pb_text(why);
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_REJECTED;
        up.rejected = &rejected;
        connection_report(c, &up, NULL, NULL);
}
