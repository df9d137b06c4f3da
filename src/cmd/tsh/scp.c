/* SPDX-License-Identifier: Apache-2.0 */
/* tsh scp and tsh sftp: the system's programs with the person's profile. */
#include <stdio.h>

#include "base/mem.h"
#include "client/locate.h"
#include "client/openssh.h"
#include "client/target.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/person.h"
#include "cmd/tsh/programs.h"

#define COPY_FLAGS                                                                                                      \
        { "recursive", 'r', FLAG_SWITCH, .help = "Copy directories with what is in them" },                             \
        { "port", 'P', FLAG_TEXT, .value = "PORT", .help = "Taken for compatibility: a node has one server, whatever its port" }, \
        { "preserve", 'p', FLAG_SWITCH, .help = "Keep times and modes of files" },                                      \
        { "quiet", 'q', FLAG_SWITCH, .help = "Show no progress" }

const struct flag scp_flags[] = {
        COPY_FLAGS,
        { NULL },
};

const struct argument scp_arguments[] = {
        { "source", .is_required = true, .help = "File, or [login@]node:path" },
        { "more", .is_required = true, .is_repeated = true, .help = "Further sources, and last the destination" },
        { NULL },
};

const struct flag sftp_flags[] = {
        COPY_FLAGS,
        { "batch", 'b', FLAG_TEXT, .value = "FILE", .help = "Commands to run, '-' for standard input" },
        { NULL },
};

const struct argument sftp_arguments[] = {
        { "[login@]node[:path]", .is_required = true, .help = "Where to go" },
        { NULL },
};

static const struct {
        const char *flag, *letter;
} switches[] = {
        { "recursive", "-r" },
        { "preserve", "-p" },
        { "quiet", "-q" },
};

static struct error *begin(struct words *w, const struct flags *given, struct profile *p, const char *program)
{
        const char *self = NULL;

        TRY(person_load(given, p));
        TRY(openssh_self(p->arena, &self));
        w->arena = p->arena;
        words_add(w, program);
        openssh_add_options(w, p, self, NULL);
        programs_add_manners(w);
        for (size_t i = 0; i < ARRAY_LEN(switches); i++)
                if (flags_switch(given, switches[i].flag))
                        words_add(w, switches[i].letter);
        if (flags_switch(given, "debug"))
                words_add(w, "-v");
        return NULL;
}

/* "login@id.cluster", or with ":path" behind: ssh believes the host of this ID alone, of several as well. */
static struct error *add_place(struct words *w, const struct flags *given, const struct profile *p, struct str where,
                               const struct str *path)
{
        struct target target;
        const char *login = NULL, *id = NULL;

        TRY(target_parse(p->arena, where, p->cluster, &target));
        TRY(person_check_target(p, &target));
        TRY(person_login(given, p, &target, &login));
        TRY(person_settle_node(p, &target));
        struct error *err = locate(p, target.node, login, &id);
        if (err != NULL)
                return person_explain(p, target.node, err);
        if (path == NULL)
                words_printf(w, "%s@%s.%s", login, id, p->cluster);
        else
                words_printf(w, "%s@%s.%s:%.*s", login, id, p->cluster, STR_ARG(*path));
        return NULL;
}

struct error *scp_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        struct words w = { 0 };
        struct str where, path;
        size_t remote = 0;

        (void)ctx;
        TRY(begin(&w, given, &p, "scp"));
        words_add(&w, "-3"); /* between two nodes: through here, for the nodes do not know each other */
        words_add(&w, "--");
        for (size_t i = 0; flags_argument(given, i) != NULL; i++) {
                const char *argument = flags_argument(given, i);

                if (!target_split_path(str_of(argument), &where, &path)) {
                        words_add(&w, argument);
                        continue;
                }
                remote++;
                TRY(add_place(&w, given, &p, where, &path));
        }
        if (remote == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "neither source nor destination is on a node"),
                                  "write [login@]node:path for one of them");
        return programs_become(&w, flags_switch(given, "debug"));
}

struct error *sftp_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        struct words w = { 0 };
        struct str where = str_of(flags_argument(given, 0)), path;
        const char *batch = flags_text(given, "batch");

        (void)ctx;
        TRY(begin(&w, given, &p, "sftp"));
        if (batch != NULL) {
                words_add(&w, "-b");
                words_add(&w, batch);
        }
        words_add(&w, "--");
        if (target_split_path(where, &where, &path))
                TRY(add_place(&w, given, &p, where, &path));
        else
                TRY(add_place(&w, given, &p, where, NULL));
        return programs_become(&w, flags_switch(given, "debug"));
}
