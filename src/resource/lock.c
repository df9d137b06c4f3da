/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/lock.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/pattern.h"
#include "base/text.h"
#include "resource/access_role.h"
#include "resource/head.h"

static const char *const versions[] = { "v2", NULL };
static const struct head_kind head = { "lock", "a lock", versions };

/* The names that a lock may have: those that the cluster generates (UUIDs), and names in the form that users write. */
static struct error *check_name(const Cteleport__V1__Lock *lock)
{
        struct str name = lock->metadata == NULL ? STR("") : str_of(lock->metadata->name);

        return str_is_empty(name) ? NULL : name_check_token(name, "metadata.name");
}

/* Names and IDs of hosts in any spelling: letter case and a trailing dot are ignored. */
static bool is_node(struct str s)
{
        return name_is_host(str_ends_with(s, STR(".")) ? str_slice(s, 0, s.len - 1) : s);
}

static bool is_server_id(struct str s)
{
        AUTO(buf) canonical = BUF_MAX(LIMIT_NAME);

        name_put_canonical(&canonical, s, STR(""));
        return name_is_host_id(buf_str(&canonical));
}

static bool is_arn_pattern(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
                        return false;
        return s.len > 0 && s.len <= LIMIT_PATTERN && (str_starts_with(s, STR("arn:")) || str_starts_with(s, STR("*")));
}

/* "TYPE/NAME" with `least` to `most` non-empty names. */
static bool is_resource(struct str resource, const char *type, size_t least, size_t most)
{
        struct str rest = resource;
        size_t count = 0;

        if (!str_equal(str_split(&rest, '/'), str_of(type)))
                return false;
        while (!str_is_empty(rest)) {
                if (str_is_empty(str_split(&rest, '/')))
                        return false;
                count++;
        }
        return count >= least && count <= most;
}

/* An ARN that lock_arn_matches can match: an identity as STS reports it (sts_arn_check), all sessions of a role, an IAM role. */
static bool is_identity(struct str arn)
{
        struct str parts[5];

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                parts[i] = str_split(&arn, ':');
        if (str_is_empty(parts[1]) || !str_is_empty(parts[3]) || !name_is_aws_account(parts[4]))
                return false;
        if (str_equal(parts[2], STR("iam")))
                return str_equal(arn, STR("root")) || is_resource(arn, "user", 1, LIMIT_PATTERN) || is_resource(arn, "role", 1, LIMIT_PATTERN);
        return str_equal(parts[2], STR("sts")) && (is_resource(arn, "assumed-role", 1, 2) || is_resource(arn, "federated-user", 1, 1));
}

/* A target that matches no host would lock nothing, without the administrator noticing. Of patterns, only the end is checked. */
static bool is_join_arn(struct str s)
{
        if (!is_arn_pattern(s) || str_ends_with(s, STR("/")))
                return false;
        return str_find_char(s, '*') < s.len || str_find_char(s, '?') < s.len || is_identity(s);
}

/* The fields of a target and the alphabets of their values. */
struct target_field {
        const char *name;
        const char *value; /* NULL: not set */
        bool (*is_valid)(struct str s);
        const char *form; /* a valid form, for the hint */
};
enum { TARGET_FIELDS = 7 };

static void fields_of(const Cteleport__V1__LockTarget *t, struct target_field fields[TARGET_FIELDS])
{
        fields[0] = (struct target_field){ "user", t->user, name_is_user, "write the name of a user: tctl get users lists them" };
        fields[1] = (struct target_field){ "role", t->role, name_is_role, "write the name of a role: tctl get roles lists them" };
        fields[2] = (struct target_field){ "login", t->login, name_is_login, "write the name of an account on nodes, such as root" };
        fields[3] = (struct target_field){ "node", t->node, is_node, "write the name or the ID of a node: tctl nodes ls lists them" };
        fields[4] = (struct target_field){ "server_id", t->server_id, is_server_id, "write the ID of a host: tctl nodes ls lists them" };
        fields[5] = (struct target_field){ "join_arn", t->join_arn, is_join_arn, "write the ARN of an identity or a role, without a slash at its end, or a pattern such as arn:aws:sts::123456789012:assumed-role/web/*" };
        fields[6] = (struct target_field){ "aws_account", t->aws_account, name_is_aws_account, "write the twelve digits of the account, in quotes" };
}

static struct error *check_target(const Cteleport__V1__LockTarget *target)
{
        struct target_field fields[TARGET_FIELDS];
        int given = 0;
        struct error *err = NULL;

        if (target != NULL)
                fields_of(target, fields);
        for (size_t i = 0; target != NULL && i < TARGET_FIELDS; i++) {
                AUTO_MEM char *shown = escaped(str_of(fields[i].value));

                if (fields[i].value == NULL)
                        continue;
                given++;
                if (!fields[i].is_valid(str_of(fields[i].value)))
                        err = error_also(err, error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "spec.target.%s '%s' is not a valid name",
                                                                               fields[i].name, shown),
                                                                     "%s", fields[i].form),
                                                          "spec.target.%s", fields[i].name));
        }
        if (given == 1 || err != NULL)
                return err;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, given == 0 ? "the lock has no target" : "the lock has several targets"),
                          "write exactly one of user, role, login, node, server_id, join_arn and aws_account in spec.target");
}

/* The cluster adds facts about the host to a lock; a file written from the lock contains them again. */
static struct error *check_host(const Cteleport__V1__LockHost *host)
{
        if (host == NULL || (name_is_aws_account(str_of(host->aws_account)) && str_starts_with(str_of(host->aws_arn), STR("arn:")) &&
                             is_arn_pattern(str_of(host->aws_arn))))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "spec.host is not the AWS account and ARN of a host"),
                          "leave it out: the cluster writes it when a host is locked; to lock hosts by their ARN, write spec.target.join_arn");
}

static struct error *check_earlier_hosts(const Cteleport__V1__LockSpec *spec)
{
        if (spec->n_earlier_hosts > LIMIT_LOCK_EARLIER_HOSTS)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "spec.earlier_hosts has more than %d identities", LIMIT_LOCK_EARLIER_HOSTS),
                                  "lock the others by their ARN, with locks of their own: tctl lock --join-arn=ARN");
        for (size_t i = 0; i < spec->n_earlier_hosts; i++)
                TRY(check_host(spec->earlier_hosts[i]));
        return NULL;
}

struct error *lock_check(Cteleport__V1__Lock *lock)
{
        TRY(head_check(&head, &lock->kind, &lock->sub_kind, &lock->version));
        struct error *err = error_about(check_name(lock), "metadata.name");
        if (lock->spec == NULL)
                return error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "the lock has no spec"), "a lock needs spec.target"));
        if (str_of(lock->spec->message).len > LIMIT_LOCK_MESSAGE)
                err = error_also(err, error_about(error_new(ERROR_INVALID_ARGUMENT, "spec.message is longer than %d characters",
                                                            LIMIT_LOCK_MESSAGE),
                                                  "spec.message"));
        if (lock->metadata != NULL && lock->metadata->expires != NULL)
                err = error_also(err, error_hint(error_about(error_new(ERROR_INVALID_ARGUMENT, "the end of a lock is not written in metadata"),
                                                             "metadata.expires"),
                                                 "write it as spec.expires"));
        err = error_also(err, error_about(check_host(lock->spec->host), "spec.host"));
        err = error_also(err, error_about(check_earlier_hosts(lock->spec), "spec.earlier_hosts"));
        return error_also(err, error_about(check_target(lock->spec->target), "spec.target"));
}

struct walltime lock_ends(const Cteleport__V1__Lock *lock)
{
        return lock->spec == NULL ? (struct walltime){ 0 } : timestamp_end(lock->spec->expires);
}

/* Role "arn:aws:iam::ACCOUNT:role/PATH/NAME", whose sessions STS reports as "arn:aws:sts::ACCOUNT:assumed-role/NAME/…". */
static bool is_session_of_role(struct str role, struct str arn)
{
        struct str parts[5];

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                parts[i] = str_split(&role, ':');
        if (!str_equal(parts[2], STR("iam")) || !str_starts_with(role, STR("role/")))
                return false;
        while (str_find_char(role, '/') < role.len)
                str_split(&role, '/');
        AUTO(buf) sessions = BUF_MAX(2 * LIMIT_PATTERN);
        buf_printf(&sessions, "%.*s:%.*s:sts:%.*s:%.*s:assumed-role/%.*s/*", STR_ARG(parts[0]), STR_ARG(parts[1]), STR_ARG(parts[3]),
                   STR_ARG(parts[4]), STR_ARG(role));
        return pattern_match(buf_str(&sessions), arn);
}

bool lock_arn_matches(struct str pattern, struct str arn)
{
        AUTO(buf) sessions = BUF_MAX(2 * LIMIT_PATTERN);

        if (str_is_empty(pattern) || str_is_empty(arn) || pattern.len > LIMIT_PATTERN || arn.len > LIMIT_PATTERN)
                return false;
        buf_put(&sessions, pattern);
        buf_put_c(&sessions, "/*");
        return pattern_match(pattern, arn) || (str_contains(arn, STR(":assumed-role/")) && pattern_match(buf_str(&sessions), arn)) ||
               is_session_of_role(pattern, arn);
}

void lock_put_target(const Cteleport__V1__Lock *lock, struct buf *out)
{
        struct target_field fields[TARGET_FIELDS];

        if (lock->spec == NULL || lock->spec->target == NULL)
                return;
        fields_of(lock->spec->target, fields);
        for (size_t i = 0; i < TARGET_FIELDS; i++)
                if (!is_unset(fields[i].value)) {
                        buf_printf(out, "%s ", fields[i].name);
                        escape_text(out, str_of(fields[i].value), ESCAPE_LIMIT);
                }
}
