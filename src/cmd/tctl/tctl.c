/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `tctl`: administers the cluster from the machine its Auth Service runs on.
 */
#include "cmd/common/version.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/session.h"

#define ALIASES(...) (const char *const[]){ __VA_ARGS__, NULL }

static const struct command commands[] = {
        { "status", NULL, status_flags, NULL, status_run, .help = "Show the cluster, its authorities and CA pins" },
        { "create", NULL, create_flags, create_arguments, create_run, .help = "Create or overwrite resources from a file",
          .notes = "  tctl create -f token.yaml\n  tctl get token/iam-token | sed s/Node/App/ | tctl create -f\n" },
        { "get", NULL, get_flags, get_arguments, get_run, .help = "Print resources",
          .notes = "  tctl get tokens\n  tctl get node/<host ID> --format=json\n" },
        { "rm", ALIASES("del"), NULL, rm_arguments, rm_run, .help = "Remove a resource" },
        { "edit", NULL, NULL, edit_arguments, edit_run, .help = "Change a token in an editor",
          .notes = "The editor is what TELEPORT_EDITOR, VISUAL or EDITOR names, else vi.\n" },
        { "tokens add", NULL, tokens_add_flags, NULL, tokens_add_run, .help = "Make a token whose name is a secret",
          .notes = "A token of method iam needs no secret: write it to a file and use tctl create.\n" },
        { "tokens ls", ALIASES("tokens list"), tokens_ls_flags, NULL, tokens_ls_run, .help = "List tokens" },
        { "tokens rm", ALIASES("tokens del"), NULL, tokens_rm_arguments, tokens_rm_run, .help = "Remove a token" },
        { "tokens explain", NULL, tokens_explain_flags, tokens_explain_arguments, tokens_explain_run,
          .help = "Tell whether a token would let an AWS identity join, rule by rule",
          .notes = "  tctl tokens explain iam-token --account=123456789012 \\\n"
                   "      --arn=arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0\n" },
        { "nodes ls", ALIASES("nodes list"), nodes_ls_flags, nodes_ls_arguments, nodes_ls_run, .help = "List SSH hosts" },
        { "inventory ls", ALIASES("inventory list"), inventory_ls_flags, NULL, inventory_ls_run,
          .help = "List every host that joined, with its services" },
        { "version", NULL, NULL, NULL, version_run, .help = "Print the version" },
        { 0 },
};

static const struct program program = {
        .name = "tctl",
        .help = "Administers a cluster, on the machine that runs its Auth Service",
        .flags = session_flags,
        .commands = commands,
};

int main(int argc, char **argv)
{
        return flags_main(&program, NULL, argc, argv);
}
