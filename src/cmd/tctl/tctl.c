/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `tctl`: administers the cluster, on the machine of its Auth Service, or from any machine after tsh login.
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
        { "edit", NULL, NULL, edit_arguments, edit_run, .help = "Change a resource in an editor",
          .notes = "The editor is the one in TELEPORT_EDITOR, VISUAL or EDITOR, else vi.\n" },
        { "tokens add", NULL, tokens_add_flags, NULL, tokens_add_run, .help = "Create a secret token",
          .notes = "A token for hosts with an AWS identity has no secret: write it to a file and use tctl create.\n" },
        { "tokens ls", ALIASES("tokens list"), tokens_ls_flags, NULL, tokens_ls_run, .help = "List tokens" },
        { "tokens rm", ALIASES("tokens del"), NULL, tokens_rm_arguments, tokens_rm_run, .help = "Remove a token" },
        { "tokens explain", NULL, tokens_explain_flags, tokens_explain_arguments, tokens_explain_run,
          .help = "Show whether a token would let an AWS identity join, rule by rule",
          .notes = "  tctl tokens explain iam-token --account=123456789012 \\\n"
                   "      --arn=arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0\n" },
        { "nodes ls", ALIASES("nodes list"), nodes_ls_flags, nodes_ls_arguments, nodes_ls_run, .help = "List SSH hosts" },
        { "apps ls", ALIASES("apps list"), apps_ls_flags, nodes_ls_arguments, apps_ls_run, .help = "List applications, with the hosts that offer them" },
        { "inventory ls", ALIASES("inventory list"), inventory_ls_flags, NULL, inventory_ls_run,
          .help = "List every host that joined, with its services" },
        { "inventory status", NULL, inventory_status_flags, NULL, inventory_status_run,
          .help = "Count the hosts by version, service, state and join method" },
        { "joins ls", ALIASES("joins list"), joins_ls_flags, NULL, joins_ls_run, .help = "List which hosts joined or were refused, and why",
          .notes = "The last line counts the refusals by the check that refused. Times are RFC 3339 (2026-01-31T08:00:00Z), days (2026-01-31) or spans\n"
                   "before now (90m, 24h).\n"
                   "  tctl joins ls --since=1h --failed --token=iam-token\n" },
        { "users add", NULL, users_add_flags, users_name_arguments, users_add_run,
          .help = "Create a user, and a link to set password and one-time code",
          .notes = "  tctl users add alice --roles=access --logins=root,ubuntu\n" },
        { "users ls", ALIASES("users list"), users_ls_flags, NULL, users_ls_run, .help = "List users" },
        { "users update", NULL, users_update_flags, users_name_arguments, users_update_run, .help = "Change roles or logins of a user" },
        { "users rm", ALIASES("users del"), NULL, users_names_arguments, users_rm_run, .help = "Remove users" },
        { "users reset", NULL, users_reset_flags, users_name_arguments, users_reset_run,
          .help = "Invalidate password and one-time codes of a user, and create a link for new ones" },
        { "lock", NULL, lock_flags, NULL, lock_run, .help = "End the sessions of a user, role, login or node, and refuse new ones",
          .notes = "  tctl lock --user=alice --message=\"ask the security team\" --ttl=10h\n"
                   "  tctl get locks; tctl rm lock/<ID>\n" },
        { "audit ls", ALIASES("audit list", "events ls"), audit_ls_flags, NULL, audit_ls_run, .help = "List audit events of the cluster",
          .notes = "Times are RFC 3339 (2026-01-31T08:00:00Z), days (2026-01-31) or spans before now (90m, 24h).\n"
                   "  tctl audit ls --from=1h --user=alice --type=session.start,exec\n" },
        { "recordings ls", ALIASES("recordings list"), recordings_ls_flags, NULL, recordings_ls_run,
          .help = "List recorded sessions" },
        { "auth export", NULL, auth_export_flags, NULL, auth_export_run, .help = "Print the public keys of the cluster's CAs, for other programs",
          .notes = "  tctl auth export --type=user > /etc/ssh/user_ca.pub\n  tctl auth export --type=host >> ~/.ssh/known_hosts\n" },
        { "auth rotate", NULL, auth_rotate_flags, NULL, auth_rotate_run, .help = "Replace a CA of the cluster, step by step",
          .notes = "The CAs are rotated one by one: --type is required, as in Teleport since version 13.\n"
                   "By itself, over 30 hours:\n  tctl auth rotate --type=user\n"
                   "By hand; tctl status shows whether all hosts have taken over a phase:\n"
                   "  tctl auth rotate --type=user --manual --phase=init\n"
                   "  tctl auth rotate --type=user --manual --phase=update_clients\n"
                   "  tctl auth rotate --type=user --manual --phase=update_servers\n"
                   "  tctl auth rotate --type=user --manual --phase=standby\n" },
        { "auth crl", NULL, auth_crl_flags, NULL, auth_crl_run,
          .help = "Print an empty list of revoked certificates of a CA, for servers that require one" },
        { "backup", NULL, backup_flags, backup_arguments, backup_run, .help = "Write everything that makes this cluster to an encrypted file",
          .notes = "Runs on the machine of the Auth Service, as root, while the cluster runs. `teleport restore` reads the file, and so does `age -d`.\n"
                   "  tctl backup --recipient=age1… /backup/cluster.age\n"
                   "  tctl backup --passphrase-file=FILE --recordings --audit-log /backup/cluster.age\n" },
        { "top", NULL, NULL, top_arguments, top_run, .help = "Show the metrics of a host, live",
          .notes = "The host needs teleport.diag_addr. Without a terminal the metrics are shown once.\n  tctl top 127.0.0.1:3000 2s\n" },
        { "version", NULL, NULL, NULL, version_run, .help = "Print the version" },
        { 0 },
};

/* Flags of Teleport's tctl that this program does not have. */
#define NOT_SERVED "this release serves SSH and applications only"

static const struct foreign_flag foreign[] = {
        { "keys", 0, "the private keys of the CAs never leave the signer" },
        { "insecure", 0, "tsh login --insecure remembers it in the profile; on the auth machine nothing is verified by a web certificate" },
        { "namespace", 0, "there is one namespace; leave it out" },
        { "windows-logins", 0, NOT_SERVED },
        { "kubernetes-users", 0, NOT_SERVED },
        { "kubernetes-groups", 0, NOT_SERVED },
        { "db-users", 0, NOT_SERVED },
        { "db-names", 0, NOT_SERVED },
        { "db-roles", 0, NOT_SERVED },
        { "aws-role-arns", 0, NOT_SERVED },
        { "azure-identities", 0, NOT_SERVED },
        { "gcp-service-accounts", 0, NOT_SERVED },
        { "db-name", 0, NOT_SERVED },
        { "db-protocol", 0, NOT_SERVED },
        { "db-uri", 0, NOT_SERVED },
        { "mfa-device", 0, "a user is locked with --user" },
        { "windows-desktop", 0, NOT_SERVED },
        { "access-request", 0, "there are no access requests" },
        { "device", 0, "devices are not known; a host is locked with --server-id" },
        { NULL },
};

static const struct foreign_command foreign_commands[] = {
        { "nodes add", "make a token for the new host: tctl tokens add --type=node" },
        { "auth sign", "certificates are given to users by tsh login, and to hosts that join" },
        { "auth ls", "there is one Auth Service; tctl inventory ls shows its host" },
        { "bots", "there are no bots; a login of its own for a program: TELEPORT_HOME=DIRECTORY tsh login" },
        { "request, requests", "there are no access requests; roles are given by: tctl users update NAME --set-roles=ROLES" },
        { "acl, access-lists", "there are no access lists; roles are given by: tctl users update NAME --set-roles=ROLES" },
        { "sso, saml, oidc, idp, loginrule, login_rule", "users sign in with password and one-time code; there is no single sign-on" },
        { "devices", "devices are not known" },
        { "db, kube, desktop, windows_desktops, proxy", NOT_SERVED },
        { "alerts, notifications", "there are no cluster alerts" },
        { "inventory ping", "every host, with its state, is listed by: tctl inventory ls" },
        { "plugins, terraform, integration, discovery", "other systems are not connected" },
        { "workload-identity, spiffe, svid", "certificates are made for hosts and users only" },
        { "autoupdate", "programs do not update themselves" },
        { "update", "write the resource again: tctl edit KIND/NAME, or tctl create -f FILE" },
        { "users unlock", "a lock is removed by: tctl rm lock/ID" },
        { "recordings download", "a recording is shown as text by: tsh play --format=text ID" },
        { NULL },
};

static const struct program program = {
        .name = "tctl",
        .foreign = foreign,
        .foreign_commands = foreign_commands,
        .help = "Administers a cluster: on the machine of its Auth Service, or on another machine after tsh login",
        .flags = session_flags,
        .commands = commands,
};

int main(int argc, char **argv)
{
        return flags_main(&program, NULL, argc, argv);
}
