/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `teleport`: runs the services of this host and shows their status.
 */
#include <stdio.h>
#include <unistd.h>

#include "api/service.h"
#include "base/text.h"
#include "cmd/common/version.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/launch.h"
#include "supervisor/journal.h"
#include "supervisor/supervisor.h"
#include "supervisor/upgrade_answer.h"
#include "session/session.h"

static struct error *start_run(void *ctx, const struct flags *given)
{
        AUTO(launch) l = { 0 };

        (void)ctx;
        struct error *err = launch_prepare(given, &l);
        if (err == NULL)
                err = supervisor_run(&l);
        if (err != NULL && journal_is_stream(STDERR_FILENO))
                fputs("<3>", stderr); /* the error is printed next, and has the priority of errors in the journal: sd-daemon(3) */
        return err;
}

/* The new program checks the flags and the configuration of the running one; the output is for supervisor/upgrade.c. */
static struct error *check_upgrade_run(void *ctx, const struct flags *given)
{
        AUTO(launch) l = { 0 };
        AUTO(buf) answer = BUF_MAX(1 * KiB);
        const char *text = flags_argument(given, 0);
        int64_t rows;

        (void)ctx;
        TRY(parse_int(str_of(text == NULL ? "0" : text), 0, INT32_MAX, "the number of metrics", &rows));
        TRY(launch_prepare(given, &l));
        if (text == NULL) /* the supervisor is of a release that compares the protocol only */
                buf_put_c(&answer, "service protocol " SERVICE_PROTOCOL "\n");
        else
                upgrade_answer_put(&answer, (size_t)rows);
        fputs(buf_c(&answer), stdout);
        return NULL;
}

static const struct argument check_upgrade_arguments[] = {
        { "rows", .help = "Rows of the table of metrics of the running program" },
        { 0 },
};

static const struct command commands[] = {
        { "start", .flags = launch_flags, .run = start_run, .help = "Run the services of this host" },
        { "app start", .flags = app_start_flags, .run = start_run, .help = "Run the Application Service of this host alone",
          .notes = "The other services of the configuration file do not run. Without --name and --uri the applications are those of the file.\n"
                   "  teleport app start --name=wiki --uri=http://127.0.0.1:8080 --labels=env=prod --token=TOKEN --auth-server=proxy.example.com:443\n" },
        { "reload", .flags = reload_flags, .run = reload_run,
          .help = "Let the running service load its configuration again, and show the result",
          .notes = "Not a command of Teleport. The service applies the changed keys without ending sessions, or refuses the file as a\n"
                   "whole; then the former configuration stays in force, and this command exits with 1. The reference of teleport.yaml\n"
                   "has for each key whether a reload applies it. If another program was installed, the services get new processes of it.\n" },
        { "status", .flags = status_flags, .run = status_run,
          .help = "Show whether this host has joined, and the current SSH session" },
        { "configure", .flags = configure_flags, .run = configure_run,
          .help = "Write a configuration file, or check one" },
        { "node configure", .flags = node_configure_flags, .run = node_configure_run,
          .help = "Write the configuration file of an agent for SSH" },
        { "install systemd", .flags = install_systemd_flags, .run = install_systemd_run,
          .help = "Write a unit for systemd" },
        { "aws identity", .flags = aws_identity_flags, .run = aws_identity_run,
          .help = "Show the AWS identity with which this host would join" },
        { "debug connect", .flags = debug_connect_flags, .run = debug_connect_run,
          .help = "Show step by step whether this host reaches its cluster, and why not",
          .notes = "Connects as a joining host does, and joins nothing. The identity of a member only verifies the\n"
                   "cluster; whether the cluster accepts it, `teleport status` shows. Exits with 1 at the first step that fails.\n" },
        { "store check", .flags = store_check_flags, .run = store_check_run,
          .help = "Check database, CA and audit log of a stopped Auth Service",
          .notes = "Changes nothing. Exits with 1 if a part is damaged.\n" },
        { "restore", .flags = restore_flags, .arguments = restore_arguments, .run = restore_command,
          .help = "Restore a backup of tctl backup into an empty data directory",
          .notes = "  teleport restore --passphrase-file=FILE cluster.age\n"
                   "  teleport restore --identity=key.txt cluster.age\n" },
        { "version", .run = version_run, .help = "Print the version" },
        { "check-upgrade", .flags = launch_flags, .arguments = check_upgrade_arguments, .run = check_upgrade_run, .is_hidden = true,
          .help = "Whether this program could take over from a running one, as its supervisor asks" },
        { "app check-upgrade", .flags = app_start_flags, .arguments = check_upgrade_arguments, .run = check_upgrade_run, .is_hidden = true,
          .help = "The same for app start" },
        { "service", .arguments = service_arguments, .run = service_run, .is_hidden = true,
          .help = "One service, as a child of start" },
        { 0 },
};

/* Flags of Teleport's program that this program does not have. */
static const struct foreign_flag foreign[] = {
        { "permit-user-env", 0, "sshd's PermitUserEnvironment stays no; leave it out" },
        { "fips", 0, "there are no FIPS builds; auth_service.aws.fips asks the FIPS endpoints of STS" },
        { "skip-version-check", 0, "the Auth Service compares the versions, and accepts hosts of its own major version and of the one before" },
        { "bootstrap", 0, "create the resources when the cluster runs: tctl create -f FILE" },
        { "apply-on-startup", 0, "create the resources when the cluster runs: tctl create -f FILE" },
        { "cloud", 0, "the consoles of clouds are no applications here" },
        { "db-name", 0, "this release serves SSH and applications only" },
        { "db-protocol", 0, "this release serves SSH and applications only" },
        { "db-uri", 0, "this release serves SSH and applications only" },
        { "no-debug-service", 0, "there is no debug service; leave it out" },
        { NULL },
};

static const struct foreign_command foreign_commands[] = {
        { "db, kube, discovery, integration", "this release serves SSH and applications only" },
        { "join", "a host is reached through its agent: write its configuration with `teleport node configure`" },
        { "debug", "there is no debug service, only `teleport debug connect`; the level of the log is teleport.log.severity in teleport.yaml" },
        { "backend", "the storage is one SQLite file below data_dir; it is checked by `teleport store check` and copied by `tctl backup`" },
        { "wait", "`teleport status` exits with 0 when this host has joined" },
        { NULL },
};

static const struct program program = {
        .name = "teleport",
        .foreign = foreign,
        .foreign_commands = foreign_commands,
        .help = "Runs the services of a cluster and of hosts",
        .commands = commands,
};

/* Programs that sshd starts (sshd_command.c): not commands for users, therefore without flags and help. */
static const struct {
        const char *name;
        int (*main)(int argc, char **argv);
} helpers[] = {
        { "ssh-authorize", session_authorize_main },
        { "ssh-session", session_main },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; i < ARRAY_LEN(helpers); i++)
                if (argc > 1 && strcmp(argv[1], helpers[i].name) == 0)
                        return helpers[i].main(argc, argv);
        return flags_main(&program, NULL, argc, argv);
}
