/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts of the services and of sshd's program ssh-authorize. They are looked up in a process of its own (process_apart): the modules of
 * the account database stay in memory once they are loaded.
 */
#include <pwd.h>
#include <unistd.h>

#include "os/process_apart.h"
#include "supervisor/internal.h"

_Static_assert(sizeof(struct accounts) <= PROCESS_APART_MAX, "the accounts fit into one result");

/*
 * sshd requires the name of an account. "sshd" is the account of sshd's own unprivileged half before a login, in a sandbox:
 * no other process runs as that user, while many processes run as "nobody".
 */
static void find_authorize_user(struct accounts *a)
{
        static const char *const names[] = { "teleport-authorize", "sshd", "nobody" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                const struct passwd *found = getpwnam(names[i]);

                if (found == NULL || found->pw_uid == 0)
                        continue;
                a->authorize_user = names[i];
                a->authorize_uid = found->pw_uid;
                return;
        }
}

static void find_all(void *result)
{
        struct accounts *a = result;

        alarm(TIMEOUT_ACCOUNTS / 1000); /* the supervisor waits, and its watchdog would end all services: SIGALRM ends this process */
        for (size_t i = 0; i < a->count; i++) {
                AUTO_PTR(error) err = sandbox_look_up_user(&a->rows[i].process->user, &a->rows[i].uid, &a->rows[i].gid);

                if (err != NULL) /* the service looks again, and reports the error */
                        a->rows[i].uid = a->rows[i].gid = 0;
        }
        if (a->needs_authorize)
                find_authorize_user(a);
}

struct error *supervisor_look_up_accounts(struct supervisor *s)
{
        /* ssh knows the user of ssh-authorize from its start, so that one does not change. */
        struct accounts a = { .authorize_user = s->accounts.authorize_user, .authorize_uid = s->accounts.authorize_uid };

        for (size_t i = 0; i < s->child_count; i++) {
                const struct service_process *row = s->children[i].row;

                if (s->children[i].state == CHILD_ABSENT)
                        continue;
                if ((row->requests & SERVICE_REQUEST_SSHD) && a.authorize_user == NULL)
                        a.needs_authorize = true;
                if (row->user.name != NULL && geteuid() == 0)
                        a.rows[a.count++].process = row;
        }
        struct error *err = a.count > 0 || a.needs_authorize ? process_apart(find_all, &a, sizeof a) : NULL;
        if (err != NULL)
                return error_hint(error_wrap(err, "the accounts of the services cannot be looked up"),
                                  "if /etc/nsswitch.conf names a directory service, see whether it answers: getent passwd teleport-auth");
        s->accounts = a;
        return NULL;
}

void supervisor_account_of(const struct supervisor *s, const struct service_process *process, uid_t *ret_uid, gid_t *ret_gid)
{
        for (size_t i = 0; i < s->accounts.count; i++)
                if (s->accounts.rows[i].process == process) {
                        *ret_uid = s->accounts.rows[i].uid;
                        *ret_gid = s->accounts.rows[i].gid;
                        return;
                }
        *ret_uid = *ret_gid = 0;
}
