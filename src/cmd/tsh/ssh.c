/* SPDX-License-Identifier: Apache-2.0 */
/* tsh ssh: runs the system's ssh with the user's profile. */
#include "base/mem.h"
#include "client/openssh.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "cmd/tsh/programs.h"

const struct flag ssh_flags[] = {
        { "port", 'p', FLAG_TEXT, .value = "PORT", .help = "Accepted for compatibility and ignored: a node has one server" },
        { "forward-agent", 'A', FLAG_SWITCH, .help = "Let the node use your SSH agent" },
        { "forward", 'L', FLAG_LIST, .value = "SPEC", .is_whole = true, .help = "Forward a local port to the node's side" },
        { "remote-forward", 'R', FLAG_LIST, .value = "SPEC", .is_whole = true, .help = "Forward a port of the node to this side" },
        { "dynamic-forward", 'D', FLAG_LIST, .value = "SPEC", .is_whole = true, .help = "Forward by SOCKS on a local port" },
        { "tty", 't', FLAG_SWITCH, .help = "Allocate a terminal, also for a command" },
        { "no-tty", 'T', FLAG_SWITCH, .help = "Allocate no terminal" },
        { "no-remote-exec", 'N', FLAG_SWITCH, .help = "Run no command, only forward ports" },
        { "x11-untrusted", 'X', FLAG_SWITCH, .help = "Request X11 forwarding" },
        { "x11-trusted", 'Y', FLAG_SWITCH, .help = "Request trusted X11 forwarding" },
        { "option", 'o', FLAG_LIST, .value = "OPTION", .is_whole = true, .help = "Another option of ssh, as in ssh_config" },
        { "no-mux", .kind = FLAG_SWITCH, .help = "Do not share a connection with other commands" },
        { NULL },
};

const struct argument ssh_arguments[] = {
        { "[login@]node", .is_required = true, .help = "Node by name, host ID, or labels that only it has (env=prod,role=db)" },
        { "command", .is_repeated = true, .help = "Command to run instead of a shell" },
        { NULL },
};

static const struct {
        const char *flag, *letter;
} switches[] = {
        { "forward-agent", "-A" }, { "tty", "-t" },           { "no-tty", "-T" },
        { "no-remote-exec", "-N" }, { "x11-untrusted", "-X" }, { "x11-trusted", "-Y" },
}, lists[] = {
        { "forward", "-L" }, { "remote-forward", "-R" }, { "dynamic-forward", "-D" }, { "option", "-o" },
};

/* Teleport's `-o "ForwardAgent local"` means the agent of SSH_AUTH_SOCK, which ssh calls yes. */
static bool is_forward_agent_local(struct str option)
{
        struct str name = STR("ForwardAgent");
        struct str value = str_slice(option, name.len, option.len);

        if (!str_equal_nocase(str_slice(option, 0, name.len), name))
                return false;
        while (value.len > 0 && strchr(" \t=", value.ptr[0]) != NULL)
                value = str_slice(value, 1, value.len);
        return str_equal_nocase(str_trim(value), STR("local"));
}

static void add_flags(struct words *w, const struct flags *given)
{
        for (size_t i = 0; i < ARRAY_LEN(switches); i++)
                if (flags_switch(given, switches[i].flag))
                        words_add(w, switches[i].letter);
        if (flags_count(given, "tty") > 1) /* a terminal on the node, even if this process has none */
                words_add(w, "-t");
        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
                for (const char *const *value = flags_list(given, lists[i].flag); *value != NULL; value++) {
                        words_add(w, lists[i].letter);
                        words_add(w, is_forward_agent_local(str_of(*value)) ? "ForwardAgent=yes" : *value);
                }
        if (flags_switch(given, "debug"))
                words_add(w, "-v");
}

/* Forwarded ports and agents belong to a connection: on a shared one, other sessions would have them, and for longer. */
static bool may_share(const struct flags *given)
{
        static const char *const own[] = { "no-mux", "forward-agent", "no-remote-exec", "x11-untrusted", "x11-trusted", "debug" };

        for (size_t i = 0; i < ARRAY_LEN(own); i++)
                if (flags_switch(given, own[i]))
                        return false;
        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
                if (flags_list(given, lists[i].flag)[0] != NULL)
                        return false;
        return true;
}

/* Returns only with an error, or when nothing has begun on the existing connection. */
static struct error *run(const struct flags *given, const struct profile *p, const struct target *target, const char *login, bool is_shared)
{
        struct words w = { .arena = p->arena };
        struct programs_way way = { 0 };

        words_add(&w, "ssh");
        TRY(programs_add_connection(&w, p, target->node, login, is_shared, &way));
        add_flags(&w, given);
        programs_add_manners(&w);
        words_add(&w, "-l");
        words_add(&w, login);
        words_add(&w, "--"); /* ssh parses no options from here on, neither before nor after the host */
        words_printf(&w, "%s.%s", target->node, p->cluster);
        for (size_t i = 1; flags_argument(given, i) != NULL; i++)
                words_add(&w, flags_argument(given, i));
        return programs_run(&w, &way, flags_switch(given, "debug"));
}

struct error *ssh_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        struct target target;
        const char *login = NULL;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(target_parse(p.arena, str_of(flags_argument(given, 0)), p.cluster, &target));
        TRY(user_check_target(&p, &target));
        TRY(user_login(given, &p, &target, &login));
        TRY(user_settle_node(&p, &target));
        if (may_share(given))
                TRY(run(given, &p, &target, login, true));
        return run(given, &p, &target, login, false);
}
