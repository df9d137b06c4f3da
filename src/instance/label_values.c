/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/label_values.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "instance/labels.h"
#include "internal.pb-c.h"
#include "rpc/link.h"
#include "rpc/pb.h"
#include "rpc/wire.h"

struct label_value {
        Cteleport__V1__PresenceUp__AppLabel of_app; /* app "": a label of the host. The value is that of message */
        Cteleport__V1__Duration period;
        Cteleport__V1__CommandLabel message; /* result is owned; NULL before the first */
};

struct label_values {
        struct loop *loop;
        struct link_service *link; /* NULL: the process `labels` is not connected */
        void (*changed)(void *ctx);
        void *ctx;
        size_t count;
        struct label_value *all;
        Cteleport__V1__CommandLabel **list; /* room for all labels */
        Cteleport__V1__PresenceUp__AppLabel **app_list;
};

static void label_value_init(struct label_value *v, const struct label_command *command)
{
        cteleport__v1__presence_up__app_label__init(&v->of_app);
        v->of_app.app = pb_text(command->app);
        v->of_app.name = command->config->name;
        label_describe(command->config, &v->message, &v->period);
}

struct label_values *label_values_new(struct loop *l, const Cteleport__V1__Config *config, void (*changed)(void *ctx), void *ctx)
{
        struct label_values *v = NEW(struct label_values);
        struct label_command commands[LIMIT_LABEL_COMMANDS];

        *v = (struct label_values){ .loop = l, .changed = changed, .ctx = ctx, .count = label_commands(config, commands) };
        v->all = mem_array(v->count, sizeof(*v->all));
        v->list = mem_array(v->count, sizeof(*v->list));
        v->app_list = mem_array(v->count, sizeof(*v->app_list));
        for (size_t i = 0; i < v->count; i++)
                label_value_init(&v->all[i], &commands[i]);
        return v;
}

void label_values_free(struct label_values *v)
{
        if (v == NULL)
                return;
        if (v->link != NULL)
                link_service_free(v->link);
        for (size_t i = 0; i < v->count; i++)
                free(v->all[i].message.result);
        free(v->all);
        free(v->list);
        free(v->app_list);
        free(v);
}

static struct error *take(struct label_values *v, const Cteleport__Internal__V1__LabelResult *sent)
{
        if (strlen(sent->result) > LABEL_RESULT_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the value of a label is over its limit");
        for (size_t i = 0; i < v->count; i++) {
                Cteleport__V1__CommandLabel *label = &v->all[i].message;

                if (strcmp(label->name, sent->name) != 0 || strcmp(v->all[i].of_app.app, sent->app) != 0)
                        continue;
                if (label->result != NULL && strcmp(label->result, sent->result) == 0)
                        return NULL;
                free(label->result);
                label->result = v->all[i].of_app.value = str_dup(str_of(sent->result));
                v->changed(v->ctx);
                return NULL;
        }
        return error_new(ERROR_NOT_FOUND, "no such label is configured");
}

static void on_sent(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct label_values *v = ctx;
        AUTO_PTR(arena) a = arena_new(2 * LABEL_RESULT_MAX);
        const Cteleport__Internal__V1__LabelTaken taken = CTELEPORT__INTERNAL__V1__LABEL_TAKEN__INIT;
        ProtobufCMessage *message = NULL;
        struct error *err = NULL;

        if (verb != CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_LABEL)
                err = error_new(ERROR_UNIMPLEMENTED, "unknown verb %u", verb);
        if (err == NULL)
                err = wire_decode(a, &cteleport__internal__v1__label_result__descriptor, body, &message);
        if (err == NULL)
                err = take(v, (const Cteleport__Internal__V1__LabelResult *)(const void *)message);
        if (err == NULL)
                link_service_answer(v->link, id, &taken.base);
        else
                link_service_refuse(v->link, id, err);
}

static void on_ended(void *ctx)
{
        struct label_values *v = ctx;

        link_service_free(v->link);
        v->link = NULL;
}

void label_values_listen(struct label_values *v, int fd)
{
        if (v->link != NULL)
                link_service_free(v->link);
        v->link = link_service_new(v->loop, fd, on_sent, on_ended, v);
}

size_t label_values_list(const struct label_values *v, Cteleport__V1__CommandLabel ***ret)
{
        size_t count = 0;

        for (size_t i = 0; i < v->count; i++)
                if (v->all[i].message.result != NULL && v->all[i].of_app.app[0] == '\0')
                        v->list[count++] = &v->all[i].message;
        *ret = v->list;
        return count;
}

size_t label_values_list_apps(const struct label_values *v, Cteleport__V1__PresenceUp__AppLabel ***ret)
{
        size_t count = 0;

        for (size_t i = 0; i < v->count; i++)
                if (v->all[i].message.result != NULL && v->all[i].of_app.app[0] != '\0')
                        v->app_list[count++] = &v->all[i].of_app;
        *ret = v->app_list;
        return count;
}
