/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `tsh`: what people have on their workstations to reach the cluster's machines.
 */
#include "cmd/tsh/commands.h"
#include "cmd/tsh/person.h"

#define ALIASES(...) (const char *const[]){ __VA_ARGS__, NULL }

static const struct command commands[] = {
        { "login", NULL, login_flags, login_arguments, login_run, .help = "Log in with password and one-time code",
          .notes = "Without a terminal, password and code are read from standard input, a line each.\n" },
        { "logout", NULL, NULL, NULL, logout_run, .help = "Delete keys and certificates",
          .notes = "All of them, or only those of --proxy and --user.\n" },
        { "status", NULL, status_flags, NULL, status_run, .help = "Show who is logged in, where and until when" },
        { "ls", NULL, ls_flags, ls_arguments, ls_run, .help = "List nodes",
          .notes = "  tsh ls env=prod,team=db\n"
                   "  tsh ls --query='labels[\"env\"] == \"prod\" && hasPrefix(name, \"web-\")'\n" },
        { "ssh", NULL, ssh_flags, ssh_arguments, ssh_run, .free_after = 2, .help = "Log in to a node, or run a command there",
          .notes = "  tsh ssh root@web-1\n  tsh ssh root@env=prod,role=db uptime\n  tsh ssh -L 8080:localhost:80 root@web-1\n" },
        { "scp", NULL, scp_flags, scp_arguments, scp_run, .help = "Copy files from and to nodes",
          .notes = "  tsh scp -r site root@web-1:/srv\n" },
        { "sftp", NULL, sftp_flags, sftp_arguments, sftp_run, .help = "Look at and copy files of a node" },
        { "proxy ssh", NULL, NULL, proxy_ssh_arguments, proxy_ssh_run,
          .help = "Connect standard input and output to a node's SSH server, as a ProxyCommand of ssh" },
        { "proxy attach", NULL, NULL, proxy_attach_arguments, proxy_attach_run, .is_hidden = true,
          .help = "Hand ssh the way to a node that stands already" },
        { "config", NULL, NULL, NULL, config_run, .help = "Print configuration for ssh, scp, rsync, git and Ansible",
          .notes = "  tsh config >> ~/.ssh/config\n  ssh root@web-1.example.com\n" },
        { "recordings ls", ALIASES("recordings list"), recordings_ls_flags, NULL, recordings_ls_run,
          .help = "List recorded sessions" },
        { "play", NULL, play_flags, play_arguments, play_run, .help = "Play a recorded session in this terminal",
          .notes = "Keys: blank pauses, left and right or ',' and '.' skip, up and down change the speed, q ends.\n"
                   "A recording is shown as it was: what it does to a terminal, it does to this one.\n" },
        { "clusters", NULL, clusters_flags, NULL, clusters_run, .help = "List the cluster" },
        { "env", NULL, env_flags, NULL, env_run, .help = "Print settings for a shell: eval $(tsh env)" },
        { "version", NULL, tsh_version_flags, NULL, tsh_version_run, .help = "Print the version" },
        { 0 },
};

static const struct program program = {
        .name = "tsh",
        .help = "Reaches the machines of a cluster",
        .flags = person_flags,
        .commands = commands,
};

int main(int argc, char **argv)
{
        return flags_main(&program, NULL, argc, argv);
}
