/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the supervisor to check processes that connect to the helpers socket. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "ssh/ssh_service.h"

struct helper_check {
        struct helper_check *next;
        struct ssh_service *service;
        char *connection_id;
        pid_t pid;
        struct timer *deadline;
        void (*done)(void *ctx, struct error *err);
        void *ctx;
};

static void unlink_check(struct helper_check *k)
{
        struct helper_check **at = &k->service->checks;

        while (*at != k)
                at = &(*at)->next;
        *at = k->next;
}

void helper_check_cancel(struct helper_check *k)
{
        if (k == NULL)
                return;
        unlink_check(k);
        timer_free(k->deadline);
        free(k->connection_id);
        free(k);
}

static void finish(struct helper_check *k, struct error *err)
{
        void (*done)(void *ctx, struct error *e) = k->done;
        void *ctx = k->ctx;

        helper_check_cancel(k);
        done(ctx, err);
}

static void on_deadline(void *ctx)
{
        finish(ctx, error_new(ERROR_DEADLINE_EXCEEDED, "the supervisor does not answer"));
}

struct helper_check *helper_check_start(struct ssh_service *s, struct str connection_id, pid_t pid, int pidfd,
                                        void (*done)(void *ctx, struct error *err), void *ctx)
{
        struct helper_check *k = NEW(struct helper_check);

        *k = (struct helper_check){
                .next = s->checks,
                .service = s,
                .connection_id = str_dup(connection_id),
                .pid = pid,
                .done = done,
                .ctx = ctx,
        };
        s->checks = k;
        k->deadline = timer_new(&s->loop, on_deadline, k);
        timer_start(k->deadline, MILLISECONDS(TIMEOUT_HELPER_CHECK));
        const struct child_message request = { .kind = CHILD_SENT_HELPER_CHECK, .name = k->connection_id, .number = pid };
        service_send_with(s->service, &request, pidfd);
        return k;
}

void helper_checked(struct ssh_service *s, const Cteleport__Internal__V1__SshControl *answer)
{
        for (struct helper_check *k = s->checks; k != NULL; k = k->next) {
                if (k->pid != answer->number || strcmp(k->connection_id, answer->connection_id) != 0)
                        continue;
                AUTO_MEM char *shown = escaped(str_of(answer->text));
                finish(k, shown[0] == '\0' ? NULL : error_new(ERROR_PERMISSION_DENIED, "%s", shown));
                return;
        }
}
