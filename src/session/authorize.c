/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh-authorize: sshd's AuthorizedPrincipalsCommand, which runs as a user of its own. The privileged half of sshd reads its
 * output, which has two sources only: the arguments that sshd passes, and the permissions that the Auth Service signed. No
 * byte is copied from the answer of the ssh process, which is exposed to the network.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "os/sandbox.h"
#include "pki/login_permit.h"
#include "rpc/pb.h"
#include "session/session.h"
#include "session/session_internal.h"
#include "session/wire.h"

enum { CERTIFICATE_MAX = 32 * KiB, LINE_MAX_LEN = KiB }; /* in wire form; certificates of the cluster are below 2 KiB */

typedef Cteleport__Session__V1__Permit permit_message;

static struct str str_of_data(ProtobufCBinaryData data)
{
        return pb_str(data);
}

static void put_authorize(struct channel *c, const struct login_permit *requested)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Authorize authorize = CTELEPORT__SESSION__V1__AUTHORIZE__INIT;

        authorize.connection_id = pb_text(requested->connection_id.ptr); /* part of argv, so NUL-terminated */
        authorize.login = pb_text(requested->login.ptr);
        authorize.certificate = pb_bytes(requested->certificate);
        authorize.nonce = pb_bytes(requested->nonce);
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_AUTHORIZE;
        up.authorize = &authorize;
        channel_put(c, &up);
}

/* The Auth Service signs the permissions, for this request only. The rest of the answer is not signed, and not used. */
static struct error *check_answer(const struct session_options *o, struct login_permit *requested, const helper_down *down)
{
        const struct ca_pins pins = { o->cas, o->ca_count };

        if (down->payload_case == CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_REFUSAL && down->refusal->is_unknown)
                return error_new(ERROR_PERMISSION_DENIED, "this is no program of sshd's");
        if (down->payload_case != CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_PERMIT)
                return error_new(ERROR_PERMISSION_DENIED, "this login is not allowed");
        if (o->host_id == NULL || o->ca_count == 0)
                return error_new(ERROR_FAILED_PRECONDITION, "--host and --ca are missing: no cluster is trusted");
        const permit_message *permit = down->permit;
        if ((permit->permits & ~(uint32_t)LOGIN_PERMITS_ALL) != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the answer has unknown permissions");
        requested->permits = permit->permits;
        return login_permit_check(requested, str_of_data(permit->signature), str_of_data(permit->signer_cert), str_of_data(permit->signer_ca),
                                  &pins, clock_wall(clock_system()));
}

static struct error *answer_sshd(const struct session_options *o, const struct login_permit *p, int out)
{
        AUTO(buf) line = BUF_MAX(LINE_MAX_LEN);
        bool may_forward = (p->permits & LOGIN_PERMIT_PORT_FORWARDING) != 0 && !o->has_no_port_forwarding;

        buf_printf(&line, "restrict%s%s%s %.*s\n", (p->permits & LOGIN_PERMIT_PTY) != 0 ? ",pty" : "", may_forward ? ",port-forwarding" : "",
                   (p->permits & LOGIN_PERMIT_AGENT_FORWARDING) != 0 ? ",agent-forwarding" : "", STR_ARG(p->login));
        TRY(buf_finish(&line, "the answer to sshd"));
        return fd_write_all(out, buf_str(&line)) ? NULL : error_errno(errno, "cannot answer sshd");
}

struct error *session_authorize(const struct session_options *o, const char *login, const char *certificate, int out)
{
        AUTO(buf) wire = BUF_MAX(CERTIFICATE_MAX);
        AUTO(channel) channel = { .fd = -1 };
        uint8_t nonce[LOGIN_PERMIT_NONCE];
        const helper_down *down;

        if (!name_is_login(str_of(login)))
                return error_new(ERROR_INVALID_ARGUMENT, "this is no account");
        TRY(base64_decode(&wire, str_of(certificate)));
        TRY(buf_finish(&wire, "the certificate"));
        TRY(channel_open(&channel, o->socket, o->server));
        random_bytes(nonce, sizeof nonce);
        struct login_permit requested = {
                .connection_id = str_of(o->connection),
                .host_id = str_of(o->host_id),
                .login = str_of(login),
                .certificate = buf_str(&wire),
                .nonce = str_of_bytes(nonce, sizeof nonce),
        };
        /* sshd runs this command twice for each login: the request is sent first, and the libraries are initialised meanwhile. */
        put_authorize(&channel, &requested);
        TRY(channel_flush(&channel, MILLISECONDS(TIMEOUT_SESSION_FLUSH)));
        TRY(login_permit_prepare()); /* the libraries read their files before the sandbox closes the file system */
        /* The filter of system calls denies all files, with or without Landlock. sshd does not pass on the operator's setting. */
        (void)setenv(SANDBOX_LANDLOCK_SETTING, "optional", 1);
        TRY(sandbox_enter(SANDBOX_AUTHORIZE, (struct sandbox_paths){ 0 }));
        TRY(channel_await(&channel, MILLISECONDS(TIMEOUT_SESSION_ANSWER), &down));
        TRY(check_answer(o, &requested, down));
        return answer_sshd(o, &requested, out);
}

static struct error *authorize(int argc, char **argv)
{
        struct session_options options;

        TRY(session_options_read(argc, argv, &options));
        if (argc < 4 || argv[argc - 2][0] == '-')
                return error_new(ERROR_INVALID_ARGUMENT, "the login and the certificate are missing");
        return session_authorize(&options, argv[argc - 2], argv[argc - 1], STDOUT_FILENO);
}

/* Runs inside the sandbox, which permits write(2) but not the calls with which session_send inspects the descriptor. */
static void send_message(const char *what)
{
        AUTO(buf) line = BUF_MAX(SESSION_TEXT_MAX + 64);

        buf_put_c(&line, "teleport: ");
        escape_text(&line, str_of(what), SESSION_TEXT_MAX);
        buf_put_char(&line, '\n');
        bool is_sent = fd_write_all(STDERR_FILENO, buf_str(&line));
        (void)is_sent; /* a failure cannot be reported anywhere */
}

int session_authorize_main(int argc, char **argv)
{
        process_harden();
        AUTO_PTR(error) err = authorize(argc, argv);

        if (err == NULL)
                return 0;
        send_message(err->what);
        return 1;
}
