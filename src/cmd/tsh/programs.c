/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/programs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

enum { COMMAND_LINE_MAX = 1 * MiB };

void programs_add_manners(struct words *w)
{
        /* A node or proxy that vanished without a word is noticed in a minute and a half. */
        words_add(w, "-o");
        words_add(w, "ServerAliveInterval=30");
        words_add(w, "-o");
        words_add(w, "ServerAliveCountMax=3");
}

struct error *programs_become(const struct words *w, bool is_told)
{
        if (is_told) {
                AUTO(buf) line = BUF_MAX(COMMAND_LINE_MAX);

                for (size_t i = 0; i < w->count; i++) {
                        buf_put_c(&line, i == 0 ? "" : " ");
                        shell_put_word(&line, str_of(w->list[i]));
                }
                fprintf(stderr, "%s\n", buf_c(&line));
        }
        fflush(stdout);
        signal(SIGPIPE, SIG_DFL); /* ignored for our own loop */
        execvp(w->list[0], (char *const *)(uintptr_t)w->list);
        return error_hint(error_errno(errno, "cannot run %s", w->list[0]), "install OpenSSH's client programs: apt install openssh-client");
}
