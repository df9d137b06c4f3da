/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/text.h"
#include "session/session.h"
#include "session/session_internal.h"
#include "session/wire.h"

enum { CERTIFICATE_MAX = 32 * KiB }; /* in wire form; ours are below 2 KiB */

static struct error *write_all(int fd, struct str text)
{
        while (text.len > 0) {
                ssize_t n = write(fd, text.ptr, text.len);

                if (n < 0 && errno != EINTR)
                        return error_errno(errno, "cannot answer sshd");
                text = str_slice(text, n < 0 ? 0 : (size_t)n, text.len);
        }
        return NULL;
}

struct error *session_authorize(const struct session_options *o, const char *login, const char *certificate, int out)
{
        AUTO(buf) wire = BUF_MAX(CERTIFICATE_MAX);
        AUTO(channel) channel = { .fd = -1 };
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Authorize authorize = CTELEPORT__SESSION__V1__AUTHORIZE__INIT;
        const helper_down *down;

        TRY(base64_decode(&wire, str_of(certificate)));
        TRY(buf_finish(&wire, "the certificate"));
        if (!text_is_utf8(str_of(login)))
                return error_new(ERROR_INVALID_ARGUMENT, "the login is not text");
        TRY(channel_open(&channel, o->socket, o->server));
        authorize.connection_id = (char *)(uintptr_t)o->connection;
        authorize.login = (char *)(uintptr_t)login;
        authorize.certificate = (ProtobufCBinaryData){ .len = wire.len, .data = (uint8_t *)wire.ptr };
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_AUTHORIZE;
        up.authorize = &authorize;
        channel_put(&channel, &up);
        TRY(channel_await(&channel, MILLISECONDS(TIMEOUT_SESSION_ANSWER), &down));
        if (down->payload_case == CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_PRINCIPALS)
                return write_all(out, str_of(down->principals->lines));
        if (down->payload_case == CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_REFUSAL)
                return error_new(ERROR_PERMISSION_DENIED, "%s", down->refusal->text);
        return error_new(ERROR_INTERNAL, "the SSH Service answered something else");
}

static struct error *authorize(int argc, char **argv)
{
        struct session_options options;

        TRY(session_options_read(argc, argv, &options));
        if (argc < 4 || argv[argc - 2][0] == '-')
                return error_new(ERROR_INVALID_ARGUMENT, "the login and the certificate are missing");
        return session_authorize(&options, argv[argc - 2], argv[argc - 1], STDOUT_FILENO);
}

int session_authorize_main(int argc, char **argv)
{
        AUTO_PTR(error) err = authorize(argc, argv);

        if (err == NULL)
                return 0;
        session_say(STDERR_FILENO, false, str_of(err->what));
        return 1;
}
