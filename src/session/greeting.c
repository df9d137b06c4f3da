/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text that a login shell on a terminal shows first, as sshd itself prints it without a ForceCommand (do_login in session.c
 * of OpenSSH). sshd does not print it for forced commands, so sshd_preload.c collects it.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "session/session_internal.h"

#define MOTD_FILE "/etc/motd"

enum { GREETING_MAX = 32 * KiB };

/* Whether ~/.hushlogin exists, which login(1) and sshd honour. */
static bool wants_none(const struct session_request *request)
{
        const char *home = session_variable(request->environment, "HOME");
        AUTO_MEM char *path = mem_printf("%s/.hushlogin", home == NULL ? "" : home);
        struct stat st;

        return stat(path, &st) == 0;
}

/* Converts newlines as the terminal's modes require: termios(3), ONLCR. An incomplete last line gets a newline. */
static void put_lines(struct buf *out, struct str text, bool has_returns)
{
        char before = '\n';

        for (size_t i = 0; i < text.len && out->len < GREETING_MAX - 2; i++) {
                if (text.ptr[i] == '\n' && before != '\r' && has_returns)
                        buf_put_char(out, '\r');
                buf_put_char(out, text.ptr[i]);
                before = text.ptr[i];
        }
        if (text.len > 0 && before != '\n')
                buf_put_c(out, has_returns ? "\r\n" : "\n");
}

static bool contains_lines(struct str all, struct str part)
{
        return str_contains(all, str_trim(part));
}

void session_greeting_put(struct buf *out, const struct session_request *request, const struct session_terminal *terminal)
{
        const struct termios *modes = &terminal->modes;
        struct str collected = str_of(request->greeting);
        AUTO(buf) motd = BUF_MAX(GREETING_MAX);

        if (request->command != NULL || wants_none(request))
                return;
        bool has_returns = (modes->c_oflag & OPOST) != 0 && (modes->c_oflag & ONLCR) != 0;
        put_lines(out, collected, has_returns);
        AUTO_PTR(error) err = file_read(MOTD_FILE, &motd); /* a missing or too long file is not shown */
        if (err == NULL && !contains_lines(collected, buf_str(&motd)))
                put_lines(out, buf_str(&motd), has_returns);
}
