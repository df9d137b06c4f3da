/* SPDX-License-Identifier: Apache-2.0 */
/* tctl users add, ls, update, rm, reset. */
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/kinds.h"
#include "cmd/tctl/users_shared.h"
#include "resource/user.h"
#include "rpc/pb.h"
#include "tctl.pb-c.h"

const struct argument users_name_arguments[] = {
        { "name", .is_required = true, .help = "Name of the user" },
        { NULL },
};

const struct argument users_names_arguments[] = {
        { "names", .is_required = true, .help = "Names of users, with commas between" },
        { NULL },
};

/* ---- invitations ---------------------------------------------------------------------------------- */

/* The differences between users add and users reset. */
struct invitation {
        bool is_reset;
        struct duration most;
        const char *page;
        const char *sentence; /* follows `User "x" ` */
};

static const struct invitation invite = {
        .most = HOURS(48), .page = "invite",
        .sentence = "has been created but requires a password. Share this URL with the user to complete user setup",
};
static const struct invitation reset = {
        .is_reset = true, .most = HOURS(24), .page = "reset",
        .sentence = "has been reset. Share this URL with the user to complete password reset",
};

static struct error *parse_ttl(const char *text, struct duration most, struct duration *ret)
{
        AUTO(buf) shown = BUF_MAX(64);

        TRY(flags_parse_duration("ttl", text, ret));
        duration_put(&shown, most);
        if (ret->ns < SECONDS(1).ns || ret->ns > most.ns)
                return error_new(ERROR_INVALID_ARGUMENT, "--ttl must lie between 1s and %s", buf_c(&shown));
        return NULL;
}

/* "1h" for "1h0m0s", "1h30m" for "1h30m0s". */
static void put_span(struct buf *out, struct duration d)
{
        AUTO(buf) text = BUF_MAX(64);

        duration_put(&text, d);
        struct str s = buf_str(&text);
        if (str_ends_with(s, STR("m0s")))
                s = str_slice(s, 0, s.len - 2);
        if (str_ends_with(s, STR("h0m")))
                s = str_slice(s, 0, s.len - 2);
        buf_put(out, s);
}

static void put_invitation(struct buf *out, const struct flags *given, const struct invitation *kind, const char *user,
                           const char *address, const Cteleport__V1__CreateInviteResponse *answer)
{
        Cteleport__Tctl__V1__Invitation view = CTELEPORT__TCTL__V1__INVITATION__INIT;
        Cteleport__V1__Timestamp end = CTELEPORT__V1__TIMESTAMP__INIT;
        AUTO_MEM char *shown = escaped(str_of(user)), *host = escaped(str_of(address));
        AUTO_MEM char *url = mem_printf("https://%s/web/%s/%s", address, kind->page, answer->token);

        if (!output_is_text(given)) {
                end.seconds = walltime_unix(clock_wall(clock_system())) + answer->ttl_seconds;
                view.user = pb_text(user);
                view.url = url;
                view.expires = &end;
                output_put_one(out, given, &view.base);
                return;
        }
        buf_printf(out, "User \"%s\" %s, link is valid for ", shown, kind->sentence);
        put_span(out, SECONDS(answer->ttl_seconds));
        buf_printf(out, ":\nhttps://%s/web/%s/%s\n\n", host, kind->page, answer->token);
        buf_printf(out, "NOTE: Make sure %s points at a Teleport proxy which users can access.\n", host);
}

/* Whether the token that the server sent is valid in a URL. */
static bool is_token(const char *text)
{
        size_t len = strspn(text, "0123456789abcdef");

        return len > 0 && text[len] == '\0';
}

static struct error *request_invitation(struct session *s, const struct flags *given, const struct invitation *kind,
                                    const char *user, struct duration ttl)
{
        Cteleport__V1__CreateInviteRequest request = CTELEPORT__V1__CREATE_INVITE_REQUEST__INIT;
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        ProtobufCMessage *msg = NULL;

        request.user = pb_text(user);
        request.ttl_seconds = ttl.ns / SECONDS(1).ns;
        request.is_reset = kind->is_reset;
        TRY(session_request(s, "CreateInvite", &request.base, &cteleport__v1__create_invite_response__descriptor, &msg));
        const Cteleport__V1__CreateInviteResponse *answer = (Cteleport__V1__CreateInviteResponse *)msg;
        if (!is_token(answer->token))
                return error_new(ERROR_DATA_LOSS, "the Auth Service sent an invitation that is none");
        const char *address = answer->proxy_addr[0] != '\0' ? answer->proxy_addr : s->proxy;
        put_invitation(&out, given, kind, user, address != NULL ? address : "<proxyhost>:3080", answer);
        return output_flush(&out);
}

/* ---- add, reset ----------------------------------------------------------------------------------- */

const struct flag users_add_flags[] = {
        { "roles", 0, FLAG_LIST, .value = "ROLES", .is_required = true, .help = "Roles of the user: access,editor …" },
        { "logins", 0, FLAG_LIST, .value = "LOGINS", .help = "Accounts on nodes that the user may log in to: root,ubuntu …" },
        { "ttl", 0, FLAG_TEXT, .value = "DURATION", .fallback = "1h", .help = "Lifetime of the link, 48h at most" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

const struct flag users_reset_flags[] = {
        { "ttl", 0, FLAG_TEXT, .value = "DURATION", .fallback = "8h", .help = "Lifetime of the link, 24h at most" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

static void take_list(struct arena *arena, const char *const *words, char ***ret, size_t *ret_count)
{
        size_t count = 0;

        while (words[count] != NULL)
                count++;
        *ret = arena_alloc(arena, (count + 1) * sizeof **ret);
        memcpy(*ret, words, count * sizeof **ret);
        *ret_count = count;
}

/* Sets the trait of the logins, replacing an existing one. */
static void set_logins(struct arena *arena, Cteleport__V1__UserSpec *spec, const char *const *logins)
{
        Cteleport__V1__UserSpec__TraitsEntry *entry = NULL;

        for (size_t i = 0; i < spec->n_traits; i++)
                if (strcmp(spec->traits[i]->key, "logins") == 0)
                        entry = spec->traits[i];
        if (entry == NULL) {
                Cteleport__V1__UserSpec__TraitsEntry **grown = arena_alloc(arena, (spec->n_traits + 1) * sizeof *grown);

                if (spec->n_traits > 0)
                        memcpy(grown, spec->traits, spec->n_traits * sizeof *grown);
                entry = arena_alloc(arena, sizeof *entry);
                cteleport__v1__user_spec__traits_entry__init(entry);
                entry->key = pb_text("logins");
                grown[spec->n_traits++] = entry;
                spec->traits = grown;
        }
        entry->value = arena_alloc(arena, sizeof *entry->value);
        cteleport__v1__string_list__init(entry->value);
        take_list(arena, logins, &entry->value->values, &entry->value->n_values);
}

static Cteleport__V1__User *new_user(struct arena *arena, const struct flags *given)
{
        Cteleport__V1__User *user = arena_alloc(arena, sizeof *user);

        cteleport__v1__user__init(user);
        user->metadata = arena_alloc(arena, sizeof *user->metadata);
        cteleport__v1__metadata__init(user->metadata);
        user->spec = arena_alloc(arena, sizeof *user->spec);
        cteleport__v1__user_spec__init(user->spec);
        user->metadata->name = pb_text(flags_argument(given, 0));
        take_list(arena, flags_list(given, "roles"), &user->spec->roles, &user->spec->n_roles);
        if (flags_list(given, "logins")[0] != NULL)
                set_logins(arena, user->spec, flags_list(given, "logins"));
        return user;
}

struct error *users_add_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        struct duration ttl = { 0 };
        bool was_there = false;

        (void)ctx;
        TRY(parse_ttl(flags_text(given, "ttl"), invite.most, &ttl));
        TRY(session_open(&s, given));
        Cteleport__V1__User *user = new_user(s.arena, given);
        TRY(user_check(user));
        TRY(kind_write(&s, kind_of(&user->base), &user->base, (struct kind_put){ .must_be_new = true }, &was_there));
        struct error *err = request_invitation(&s, given, &invite, user->metadata->name, ttl);
        if (err == NULL)
                return NULL;
        return error_hint(error_wrap(err, "user \"%s\" has been created, but there is no link yet", user->metadata->name),
                          "make one with: tctl users reset %s", user->metadata->name);
}

struct error *users_reset_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        struct duration ttl = { 0 };

        (void)ctx;
        TRY(parse_ttl(flags_text(given, "ttl"), reset.most, &ttl));
        TRY(session_open(&s, given));
        return request_invitation(&s, given, &reset, flags_argument(given, 0), ttl);
}

/* ---- ls ------------------------------------------------------------------------------------------- */

const struct flag users_ls_flags[] = {
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

struct error *users_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__User **users = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(users_list(&s, &users, &count));
        if (!output_is_text(given)) {
                output_put_list(&out, given, (ProtobufCMessage **)users, count);
        } else if (count == 0) {
                buf_put_c(&out, "No users found\n");
        } else {
                users_put_table(&out, users, count);
                buf_put_char(&out, '\n');
        }
        return output_flush(&out);
}

/* ---- update --------------------------------------------------------------------------------------- */

const struct flag users_update_flags[] = {
        { "set-roles", 0, FLAG_LIST, .value = "ROLES", .help = "New roles, instead of the former ones" },
        { "set-logins", 0, FLAG_LIST, .value = "LOGINS", .help = "New accounts on nodes, instead of the former ones" },
        { NULL },
};

static void put_change(struct buf *out, const char *what, const char *const *words)
{
        buf_printf(out, "\tNew %s: ", what);
        for (size_t i = 0; words[i] != NULL; i++) {
                AUTO_MEM char *shown = escaped(str_of(words[i]));

                buf_printf(out, "%s%s", i == 0 ? "" : ",", shown);
        }
        buf_put_char(out, '\n');
}

struct error *users_update_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        const char *const *roles = flags_list(given, "set-roles"), *const *logins = flags_list(given, "set-logins");
        ProtobufCMessage *msg = NULL;
        bool was_there = false;

        (void)ctx;
        if (!flags_given(given, "set-roles") && !flags_given(given, "set-logins"))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "nothing to update"), "give --set-roles or --set-logins");
        TRY(session_open(&s, given));
        TRY(session_request_name(&s, "GetUser", flags_argument(given, 0), &cteleport__v1__user__descriptor, &msg));
        Cteleport__V1__User *user = (Cteleport__V1__User *)msg;
        if (user->metadata == NULL || user->spec == NULL)
                return error_new(ERROR_DATA_LOSS, "the Auth Service sent a user without a name or spec");
        AUTO_MEM char *shown = escaped(str_of(user->metadata->name));
        buf_printf(&out, "User %s has been updated:\n", shown);
        if (flags_given(given, "set-roles")) {
                take_list(s.arena, roles, &user->spec->roles, &user->spec->n_roles);
                put_change(&out, "roles", roles);
        }
        if (flags_given(given, "set-logins")) {
                set_logins(s.arena, user->spec, logins);
                put_change(&out, "logins", logins);
        }
        TRY(user_check(user));
        TRY(kind_write(&s, kind_of(msg), msg, (struct kind_put){ .if_revision = user->metadata->revision }, &was_there));
        return output_flush(&out);
}

/* ---- rm ------------------------------------------------------------------------------------------- */

struct error *users_rm_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        struct str rest = str_of(flags_argument(given, 0));

        (void)ctx;
        TRY(session_open(&s, given));
        while (!str_is_empty(rest)) {
                struct str name = str_trim(str_split(&rest, ','));
                AUTO_MEM char *shown = escaped(name);
                ProtobufCMessage *answer = NULL;

                if (str_is_empty(name))
                        continue;
                TRY(session_request_name(&s, "DeleteUser", str_to_c(s.arena, name), &cteleport__v1__empty__descriptor, &answer));
                printf("User \"%s\" has been deleted\n", shown);
        }
        return NULL;
}
