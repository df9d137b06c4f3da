/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/programs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/tsh/relay.h"

enum { COMMAND_LINE_MAX = 1 * MiB };

void programs_add_manners(struct words *w)
{
        /* A node or proxy that vanished without a word is noticed in a minute and a half. */
        words_add(w, "-o");
        words_add(w, "ServerAliveInterval=30");
        words_add(w, "-o");
        words_add(w, "ServerAliveCountMax=3");
}

struct error *programs_add_connection(struct words *w, const struct profile *p, const char *node, const char *login, bool may_share)
{
        struct mux mux = { .lock = -1 };
        const char *self = NULL, *relay = NULL, *host_id = NULL;

        TRY(openssh_self(p->arena, &self));
        if (may_share)
                mux_find(p, login, node, &mux);
        if (mux.is_alive) {
                openssh_add_options(w, p, self, NULL, &mux);
                openssh_add_host_id(w, p, mux.host_id);
                return NULL;
        }
        struct error *err = relay_start(p, node, login, &mux, &relay, &host_id);
        mux_release(&mux); /* the process that stays has it */
        if (err != NULL)
                return err;
        openssh_add_options(w, p, self, relay, &mux);
        openssh_add_host_id(w, p, host_id);
        return NULL;
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
