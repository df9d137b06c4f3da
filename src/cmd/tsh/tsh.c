/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `tsh`: the user's client on a workstation, for login and access to the cluster's nodes.
 */
#include <string.h>

#include "base/mem.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "rpc/pb.h"

#define ALIASES(...) (const char *const[]){ __VA_ARGS__, NULL }

static const struct command commands[] = {
        { "login", NULL, login_flags, login_arguments, login_run, .help = "Log in with password and one-time code",
          .notes = "Without a terminal, password and code are read from standard input, a line each.\n" },
        { "logout", NULL, NULL, NULL, logout_run, .help = "Delete keys and certificates",
          .notes = "All of them, or only those of --proxy and --user.\n" },
        { "status", NULL, status_flags, NULL, status_run, .help = "Show the current login: user, proxy and expiry" },
        { "ls", NULL, ls_flags, ls_arguments, ls_run, .help = "List nodes",
          .notes = "  tsh ls env=prod,team=db\n"
                   "  tsh ls --query='labels[\"env\"] == \"prod\" && hasPrefix(name, \"web-\")'\n" },
        { "apps ls", ALIASES("apps list", "app ls"), apps_ls_flags, apps_ls_arguments, apps_ls_run, .help = "List applications",
          .notes = "  tsh apps ls env=prod,team=db\n  tsh apps ls --query='hasPrefix(name, \"wiki\")'\n" },
        { "apps login", ALIASES("app login"), apps_login_flags, apps_login_arguments, apps_login_run, .help = "Get a certificate for an application, for curl and other programs",
          .notes = "It prints an example. Applications in a browser need no certificate, and `tsh proxy app` needs none.\n" },
        { "apps logout", ALIASES("app logout"), NULL, apps_logout_arguments, apps_logout_run, .help = "End certificates for applications, and remove them" },
        { "apps config", ALIASES("app config"), apps_config_flags, apps_config_arguments, apps_config_run, .help = "Print address and files for a program that uses an application",
          .notes = "  eval \"$(tsh apps config --format=curl wiki)\"\n" },
        { "ssh", NULL, ssh_flags, ssh_arguments, ssh_run, .free_after = 2, .help = "Log in to a node, or run a command there",
          .notes = "  tsh ssh root@web-1\n  tsh ssh root@env=prod,role=db uptime\n  tsh ssh -L 8080:localhost:80 root@web-1\n" },
        { "scp", NULL, scp_flags, scp_arguments, scp_run, .help = "Copy files from and to nodes",
          .notes = "  tsh scp -r site root@web-1:/srv\n" },
        { "sftp", NULL, sftp_flags, sftp_arguments, sftp_run, .help = "Copy files of a node interactively" },
        { "proxy ssh", NULL, NULL, proxy_ssh_arguments, proxy_ssh_run,
          .help = "Connect standard input and output to a node's SSH server, as a ProxyCommand of ssh" },
        { "proxy app", NULL, proxy_app_flags, proxy_app_arguments, proxy_app_run, .help = "Make an application reachable at a port of this machine",
          .notes = "  tsh proxy app -p 5432 orders-db\n  psql -h 127.0.0.1 -p 5432 -U app orders\n"
                   "It runs until Ctrl-C. When the login has ended, log in again: connections work again without a restart.\n" },
        { "proxy attach", NULL, NULL, proxy_attach_arguments, proxy_attach_run, .is_hidden = true,
          .help = "Hand ssh a connection to a node that is open already" },
        { "proxy known-host", NULL, NULL, proxy_known_host_arguments, proxy_known_host_run, .is_hidden = true,
          .help = "Check for ssh that a host is the requested node, as its KnownHostsCommand" },
        { "config", NULL, NULL, NULL, config_run, .help = "Print configuration for ssh, scp, rsync, git and Ansible",
          .notes = "  tsh config >> ~/.ssh/config\n  ssh root@web-1.example.com\n" },
        { "recordings ls", ALIASES("recordings list"), recordings_ls_flags, NULL, recordings_ls_run,
          .help = "List recorded sessions" },
        { "play", NULL, play_flags, play_arguments, play_run, .help = "Play a recorded session in this terminal",
          .notes = "Keys: blank pauses, left and right or ',' and '.' skip, up and down change the speed, q ends.\n"
                   "The original output is shown, with its control sequences, on this terminal.\n" },
        { "clusters", NULL, clusters_flags, NULL, clusters_run, .help = "List the cluster" },
        { "env", NULL, env_flags, NULL, env_run, .help = "Print settings for a shell: eval $(tsh env)" },
        { "debug connect", NULL, debug_connect_flags, NULL, debug_connect_run,
          .help = "Show step by step whether this machine reaches the cluster, and why not",
          .notes = "The proxy is that of --proxy, or of the login. Exits with 1 at the first step that fails.\n" },
        { "version", NULL, tsh_version_flags, NULL, tsh_version_run, .help = "Print the version" },
        { 0 },
};

/* Flags of Teleport's tsh that this program does not have. */
#define NO_REQUESTS "there are no access requests: an administrator gives roles by `tctl users update NAME --set-roles=…`"
#define NO_IDENTITY_FILE "a login of its own for a program: TELEPORT_HOME=DIRECTORY tsh login …; commands find it by the same TELEPORT_HOME"
#define NO_CONSOLES "consoles and programs of clouds are not served; leave it out"
#define NO_OTHER_CLUSTERS "a proxy has one cluster: tsh login --proxy=HOST[:PORT] for another"

static const struct foreign_flag foreign[] = {
        { "request-roles", 0, NO_REQUESTS },
        { "request-id", 0, NO_REQUESTS },
        { "request-reason", 0, NO_REQUESTS },
        { "request-reviewers", 0, NO_REQUESTS },
        { "request-nowait", 0, NO_REQUESTS },
        { "identity", 'i', NO_IDENTITY_FILE },
        { "out", 'o', NO_IDENTITY_FILE },
        { "format", 0, "tsh prints text; see `tsh help` for the commands that have --format" },
        { "overwrite", 0, NO_IDENTITY_FILE },
        { "local", 0, "the command of `tsh ssh` always runs on the node; run it without tsh to run it here" },
        { "cert-format", 0, "OpenSSH's form is the only one" },
        { "kube-cluster", 0, "there is no access to Kubernetes" },
        { "callback", 0, "log in with password and one-time code; there is no single sign-on" },
        { "bind-addr", 0, "log in with password and one-time code; there is no single sign-on" },
        { "headless", 0, "log in on this machine: tsh login" },
        { "participant-req", 0, "sessions are not joined by others" },
        { "mode", 0, "sessions are not joined by others" },
        { "reason", 0, "sessions are not joined by others" },
        { "invited", 0, "sessions are not joined by others" },
        { "no-resume", 0, "connections are not resumed; leave it out" },
        { "relogin", 0, "when a login has ended: tsh login" },
        { "log-dir", 0, "the output of a command: tsh ssh … > FILE" },
        { "jumphost", 'J', NO_OTHER_CLUSTERS },
        { "all", 'R', NO_OTHER_CLUSTERS },
        { "aws-role", 0, NO_CONSOLES },
        { "azure-identity", 0, NO_CONSOLES },
        { "gcp-service-account", 0, NO_CONSOLES },
        { "skip-version-check", 0, "no versions are compared; leave it out" },
        { "piv-slot", 0, "keys are files of the profile" },
        { "use-local-ssh-agent", 0, "keys are files of the profile; -A lets the node use your agent" },
        { "enable-escape-sequences", 0, "ssh's own escapes: -o EscapeChar=…" },
        { NULL },
};

static const struct foreign_command foreign_commands[] = {
        { "db, databases, kube, kubectl, aws, az, azure, gcloud, gsutil, gcp, git, mcp, proxy db, proxy kube, proxy aws, "
          "proxy azure, proxy gcp, proxy gcloud, proxy mcp, vnet",
          "this release serves SSH and applications only" },
        { "join, sessions", "sessions are not joined by others; recorded ones are listed by `tsh recordings ls` and shown by `tsh play`" },
        { "mfa", "the second factor is a one-time code; an administrator lets you set a new one: tctl users reset NAME" },
        { "request, requests", NO_REQUESTS },
        { "device", "devices are not enrolled" },
        { "headless", "log in on this machine: tsh login" },
        { "puttyconfig", "OpenSSH is configured by: tsh config" },
        { "svid, workload-identity, spiffe", "certificates are made for hosts and users only" },
        { "latency, bench", "time a command, for example: time tsh ssh NODE true" },
        { "recordings export, recordings download", "a recording is shown as text by: tsh play --format=text ID" },
        { NULL },
};

static const struct program program = {
        .name = "tsh",
        .foreign = foreign,
        .foreign_commands = foreign_commands,
        .help = "Connects to the nodes of a cluster",
        .flags = user_flags,
        .commands = commands,
};

/* A link named ssh, scp or sftp runs that command: argv of `tsh COMMAND ARGUMENTS`, or NULL for another name. */
static char **argv_of_link(int argc, char **argv)
{
        static const char *const names[] = { "ssh", "scp", "sftp" };
        const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
        const char *name = argc == 0 ? "" : slash == NULL ? argv[0] : slash + 1;
        char **made;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (strcmp(name, names[i]) != 0)
                        continue;
                made = mem_alloc(((size_t)argc + 2) * sizeof *made);
                made[0] = argv[0];
                made[1] = pb_text(names[i]);
                memcpy(made + 2, argv + 1, (size_t)argc * sizeof *made); /* with the NULL at the end */
                return made;
        }
        return NULL;
}

int main(int argc, char **argv)
{
        AUTO_MEM char **linked = argv_of_link(argc, argv);

        return linked == NULL ? flags_main(&program, NULL, argc, argv) : flags_main(&program, NULL, argc + 1, linked);
}
