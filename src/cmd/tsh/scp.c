/* SPDX-License-Identifier: Apache-2.0 */
/* tsh scp and tsh sftp: run the system's programs with the user's profile. */
#include <stdio.h>

#include "base/mem.h"
#include "client/locate.h"
#include "client/openssh.h"
#include "client/target.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "cmd/tsh/programs.h"

#define COPY_FLAGS                                                                                                      \
        { "recursive", 'r', FLAG_SWITCH, .help = "Copy directories recursively" },                             \
        { "port", 'P', FLAG_TEXT, .value = "PORT", .help = "Accepted for compatibility and ignored: a node has one server" }, \
        { "preserve", 'p', FLAG_SWITCH, .help = "Keep times and modes of files" },                                      \
        { "quiet", 'q', FLAG_SWITCH, .help = "Show no progress" },                                                      \
        { "no-mux", .kind = FLAG_SWITCH, .help = "Do not share a connection with other commands" }

const struct flag scp_flags[] = {
        COPY_FLAGS,
        { NULL },
};

const struct argument scp_arguments[] = {
        { "source", .is_required = true, .help = "File, or [login@]node:path" },
        { "destination", .is_required = true, .is_repeated = true, .help = "File, directory or [login@]node:path; the arguments before it are further sources" },
        { NULL },
};

const struct flag sftp_flags[] = {
        COPY_FLAGS,
        { "batch", 'b', FLAG_TEXT, .value = "FILE", .help = "File of commands, '-' for standard input" },
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

/* A remote file: `[login@]node`, and the path after it. */
struct location {
        struct target target;
        const char *login;
        struct str path;
        bool has_path;
};

static void add_flags(struct words *w, const struct flags *given)
{
        programs_add_manners(w);
        for (size_t i = 0; i < ARRAY_LEN(switches); i++)
                if (flags_switch(given, switches[i].flag))
                        words_add(w, switches[i].letter);
        if (flags_switch(given, "debug"))
                words_add(w, "-v");
}

static struct error *resolve_location(const struct flags *given, const struct profile *p, struct str where, struct location *ret)
{
        TRY(target_parse(p->arena, where, p->cluster, &ret->target));
        TRY(user_check_target(p, &ret->target));
        TRY(user_login(given, p, &ret->target, &ret->login));
        return user_settle_node(p, &ret->target);
}

static void add_location(struct words *w, const struct profile *p, const struct location *location, const char *node)
{
        if (location->has_path)
                words_printf(w, "%s@%s.%s:%.*s", location->login, node, p->cluster, STR_ARG(location->path));
        else
                words_printf(w, "%s@%s.%s", location->login, node, p->cluster);
}

static bool may_share(const struct flags *given)
{
        return !flags_switch(given, "no-mux") && !flags_switch(given, "debug");
}

/* "login@id.cluster": ssh trusts only the host with this ID, also with several nodes. */
static struct error *add_node_location(struct words *w, const struct profile *p, const struct location *location)
{
        const char *id = NULL;
        struct error *err = locate(p, location->target.node, location->login, &id);

        if (err != NULL)
                return user_explain(p, location->target.node, err);
        add_location(w, p, location, id);
        return NULL;
}

/* The arguments for scp; a remote file has a path that is not empty. */
static struct error *resolve_locations(const struct flags *given, const struct profile *p, struct location *locations, size_t count, size_t *ret_remote)
{
        for (size_t i = 0; i < count; i++) {
                struct str where;

                if (!target_split_path(str_of(flags_argument(given, i)), &where, &locations[i].path))
                        continue;
                locations[i].has_path = true;
                ++*ret_remote;
                TRY(resolve_location(given, p, where, &locations[i]));
        }
        return NULL;
}

/* Each of these returns only with an error, or when nothing has begun on the existing connection. */
static struct error *run_scp(const struct flags *given, const struct profile *p, const struct location *locations, size_t count, bool is_between_nodes,
                             bool is_shared)
{
        struct words w = { .arena = p->arena };
        struct programs_way way = { 0 };
        const char *self = NULL;

        words_add(&w, "scp");
        for (size_t i = 0; i < count && !is_between_nodes; i++)
                if (locations[i].has_path)
                        TRY(programs_add_connection(&w, p, locations[i].target.node, locations[i].login, is_shared, &way));
        TRY(openssh_self(p->arena, &self));
        if (is_between_nodes)
                openssh_add_options(&w, p, self, NULL, NULL);
        add_flags(&w, given);
        words_add(&w, "-3"); /* between two nodes: through this host, because the nodes cannot connect to each other */
        words_add(&w, "--");
        for (size_t i = 0; i < count; i++) {
                if (!locations[i].has_path)
                        words_add(&w, flags_argument(given, i));
                else if (!is_between_nodes)
                        add_location(&w, p, &locations[i], locations[i].target.node);
                else
                        TRY(add_node_location(&w, p, &locations[i]));
        }
        return programs_run(&w, &way, flags_switch(given, "debug"));
}

static struct error *run_sftp(const struct flags *given, const struct profile *p, const struct location *location, bool is_shared)
{
        struct words w = { .arena = p->arena };
        struct programs_way way = { 0 };
        const char *batch = flags_text(given, "batch");

        words_add(&w, "sftp");
        TRY(programs_add_connection(&w, p, location->target.node, location->login, is_shared, &way));
        add_flags(&w, given);
        if (batch != NULL) {
                words_add(&w, "-b");
                words_add(&w, batch);
        }
        words_add(&w, "--");
        add_location(&w, p, location, location->target.node);
        return programs_run(&w, &way, flags_switch(given, "debug"));
}

/* ---- the commands --------------------------------------------------------------------------------------------------------- */

struct error *scp_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        size_t count = 0, remote = 0;

        (void)ctx;
        TRY(user_load(given, &p));
        while (flags_argument(given, count) != NULL)
                count++;
        AUTO_MEM struct location *locations = mem_array(count, sizeof *locations);
        TRY(resolve_locations(given, &p, locations, count, &remote));
        if (remote == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "neither source nor destination is on a node"),
                                  "write [login@]node:path for one of them");
        if (remote == 1 && may_share(given))
                TRY(run_scp(given, &p, locations, count, false, true));
        return run_scp(given, &p, locations, count, remote > 1, false);
}

struct error *sftp_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        struct location location = { 0 };
        struct str where = str_of(flags_argument(given, 0));

        (void)ctx;
        TRY(user_load(given, &p));
        location.has_path = target_split_path(where, &where, &location.path);
        TRY(resolve_location(given, &p, where, &location));
        if (may_share(given))
                TRY(run_sftp(given, &p, &location, true));
        return run_sftp(given, &p, &location, false);
}
