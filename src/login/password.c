/* SPDX-License-Identifier: Apache-2.0 */
#include "login/password.h"

#include <argon2.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/library.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "loop/loop.h"

enum { HASH_SIZE = 32, ENCODED_MAX = 128, LANES = 1 };

const struct password_cost password_cost_usual = { .memory = 64 * 1024, .passes = 3 };

/* ---- new passwords ---------------------------------------------------------------------------------------- */

/* Number of characters of a UTF-8 text: all bytes except continuation bytes. */
static size_t characters_of(struct str s)
{
        size_t count = 0;

        for (size_t i = 0; i < s.len; i++)
                count += ((uint8_t)s.ptr[i] & 0xc0) != 0x80;
        return count;
}

static bool has_control_character(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if ((uint8_t)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
                        return true;
        return false;
}

static bool is_one_character(struct str s)
{
        for (size_t i = 1; i < s.len; i++)
                if (s.ptr[i] != s.ptr[0])
                        return false;
        return true;
}

struct error *password_check_new(struct str password, struct str user)
{
        struct error *err = NULL;

        if (password.len > LIMIT_PASSWORD)
                return error_new(ERROR_INVALID_ARGUMENT, "the password has more than %d bytes", LIMIT_PASSWORD);
        if (!text_is_utf8(password) || has_control_character(password))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the password has characters that no keyboard types"),
                                  "use letters, digits, signs and blanks");
        if (characters_of(password) < LIMIT_PASSWORD_MIN)
                err = error_new(ERROR_INVALID_ARGUMENT, "the password is too short");
        else if (is_one_character(password))
                err = error_new(ERROR_INVALID_ARGUMENT, "the password is one character again and again");
        else if (str_equal_nocase(password, user))
                err = error_new(ERROR_INVALID_ARGUMENT, "the password is the name of the user");
        if (err != NULL)
                return error_hint(err, "use at least %d characters; several unrelated words are good",
                                  LIMIT_PASSWORD_MIN);
        return NULL;
}

/* ---- the library --------------------------------------------------------------------------------------------- */

/* Loaded once per process, so it is global. */
static struct argon2_api {
        __typeof__(argon2id_verify) *verify;
        __typeof__(argon2id_hash_encoded) *hash_encoded;
        __typeof__(argon2_error_message) *error_message;
} argon2;

static const struct library_function argon2_functions[] = {
        { "argon2id_verify", offsetof(struct argon2_api, verify) },
        { "argon2id_hash_encoded", offsetof(struct argon2_api, hash_encoded) },
        { "argon2_error_message", offsetof(struct argon2_api, error_message) },
};

static const struct library libargon2 = {
        .file = "libargon2.so.1",
        .package = "libargon2-1",
        .functions = argon2_functions,
        .function_count = ARRAY_LEN(argon2_functions),
};

struct error *passwords_load(void)
{
        return argon2.verify != NULL ? NULL : library_load(&libargon2, &argon2);
}

/* ---- hashing ------------------------------------------------------------------------------------------------ */

/* One hash to compute. While it runs on the thread pool, only that thread accesses the fields below `password`. */
struct task {
        struct passwords *owner;
        struct job *job; /* while it runs */
        struct task *next;       /* in the queue, or in the list of running tasks */
        struct str source;       /* owned */
        void (*hashed)(void *ctx, struct str encoded, struct error *err);
        void (*verified)(void *ctx, bool is_right, struct error *err);
        void *ctx;

        struct secret password;
        char *encoded; /* hash to verify against; NULL: no such user */
        struct password_cost cost;
        uint8_t salt[PASSWORD_SALT_SIZE];
        char result[ENCODED_MAX];
        bool is_right;
        int failure; /* error of argon2, 0: none */
};

struct passwords {
        struct loop *loop;
        struct password_cost cost;
        struct task *queue, **queue_end;
        struct task *busy;
        size_t waiting, running;
};

static void task_free(struct task *t)
{
        secret_release(&t->password);
        wipe(t->result, sizeof t->result);
        free(unconst(t->source.ptr));
        free(t->encoded);
        free(t);
}

static void task_release(void *ctx)
{
        task_free(ctx);
}

static void report(struct task *t, struct error *err)
{
        if (t->hashed != NULL)
                t->hashed(t->ctx, err == NULL ? str_of(t->result) : STR(""), err);
        else
                t->verified(t->ctx, err == NULL && t->is_right, err);
}

static void answer(struct task *t, struct error *err)
{
        report(t, err);
        task_free(t);
}

/* Runs on the thread pool. */
static void work(void *ctx)
{
        struct task *t = ctx;
        const struct str password = secret_str(&t->password);

        if (job_is_cancelled())
                return;
        /* One thread, the current one: argon2 then starts none. */
        if (t->encoded != NULL) {
                int r = argon2.verify(t->encoded, password.ptr, password.len);

                t->is_right = r == ARGON2_OK;
                t->failure = r == ARGON2_VERIFY_MISMATCH ? 0 : r;
        } else {
                t->failure = argon2.hash_encoded(t->cost.passes, t->cost.memory, LANES, password.ptr, password.len, t->salt,
                                                 sizeof t->salt, HASH_SIZE, t->result, sizeof t->result);
        }
}

static void start_next(struct passwords *p);

static void on_worked(void *ctx)
{
        struct task *t = ctx;
        struct passwords *p = t->owner;
        struct error *err = NULL;

        struct task **at = &p->busy;
        while (*at != t)
                at = &(*at)->next;
        *at = t->next;
        p->running--;
        start_next(p); /* before the answer, whose callback may free p */
        if (t->failure != 0)
                err = error_new(ERROR_UNAVAILABLE, "the password could not be checked: %s", argon2.error_message(t->failure));
        answer(t, err);
}

static void start_next(struct passwords *p)
{
        struct task *t = p->queue;

        if (t == NULL || p->running == LIMIT_PASSWORD_WORK)
                return;
        p->queue = t->next;
        if (p->queue == NULL)
                p->queue_end = &p->queue;
        p->waiting--;
        p->running++;
        t->next = p->busy;
        p->busy = t;
        t->job = loop_job(p->loop, work, on_worked, t);
}

static void on_refused(void *ctx)
{
        answer(ctx, error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many passwords are being checked"),
                               "try again in a few seconds"));
}

static bool has_room(const struct passwords *p, struct str source)
{
        size_t same = 0;

        for (const struct task *t = p->queue; t != NULL; t = t->next)
                same += str_equal(t->source, source);
        return p->waiting < LIMIT_PASSWORD_WAITING && same < LIMIT_PASSWORD_WAITING_SOURCE;
}

static void enqueue(struct passwords *p, struct task *t, struct str source, struct str password)
{
        t->owner = p;
        t->source = (struct str){ str_dup(source), source.len };
        t->cost = p->cost;
        if (!has_room(p, source)) {
                loop_defer(p->loop, on_refused, t);
                return;
        }
        t->password = secret_of(password);
        *p->queue_end = t;
        p->queue_end = &t->next;
        p->waiting++;
        start_next(p);
}

void password_hash(struct passwords *p, struct str source, struct str password, const uint8_t salt[PASSWORD_SALT_SIZE],
                   void (*done)(void *ctx, struct str encoded, struct error *err), void *ctx)
{
        struct task *t = NEW(struct task);

        t->hashed = done;
        t->ctx = ctx;
        memcpy(t->salt, salt, sizeof t->salt);
        enqueue(p, t, source, password);
}

void password_verify(struct passwords *p, struct str source, struct str password, struct str encoded,
                     void (*done)(void *ctx, bool is_right, struct error *err), void *ctx)
{
        struct task *t = NEW(struct task);

        t->verified = done;
        t->ctx = ctx;
        t->encoded = str_is_empty(encoded) ? NULL : str_dup(encoded);
        enqueue(p, t, source, password);
}

struct passwords *passwords_new(struct loop *l, struct password_cost cost)
{
        if (argon2.verify == NULL)
                bug("passwords_load() was not called");
        struct passwords *p = NEW(struct passwords);

        p->loop = l;
        p->cost = cost;
        p->queue_end = &p->queue;
        return p;
}

void passwords_free(struct passwords *p)
{
        if (p == NULL)
                return;
        for (struct task *t = p->busy, *next; t != NULL; t = next) {
                next = t->next; /* it still runs on the pool; its result is dropped */
                job_cancel(t->job, task_release);
                report(t, error_new(ERROR_CANCELLED, "the service is ending"));
        }
        while (p->queue != NULL) {
                struct task *t = p->queue;

                p->queue = t->next;
                answer(t, error_new(ERROR_CANCELLED, "the service is ending"));
        }
        free(p);
}
