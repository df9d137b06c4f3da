/* SPDX-License-Identifier: Apache-2.0 */
#include "os/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define AGENT "agent"

enum { FILE_MAX = 64 * KiB };

/* The directories of our own groups; NULL: none of that kind. */
struct cgroup_dirs {
        char *unified, *pids, *named; /* version 2; version 1: controller pids, and systemd's own hierarchy */
};

static void cgroup_dirs_release(struct cgroup_dirs *p)
{
        free(p->unified);
        free(p->pids);
        free(p->named);
}

static bool is_of_type(const char *dir, long type)
{
        struct statfs fs;

        return statfs(dir, &fs) == 0 && (long)fs.f_type == type;
}

/* The directory of the service's group. After a restart in place the process may already be in our own group `agent` below it. */
static char *cgroup_dir(const char *mount, struct str path)
{
        static const struct str own = STR_INIT("/" AGENT);

        if (str_ends_with(path, own))
                path = str_slice(path, 0, path.len - own.len);
        return mem_printf("%s%.*s", mount, STR_ARG(path));
}

static bool has_controller(struct str list, struct str name)
{
        while (!str_is_empty(list))
                if (str_equal(str_split(&list, ','), name))
                        return true;
        return false;
}

/* /proc/self/cgroup: "NUMBER:CONTROLLERS:PATH", cgroups(7). */
static struct error *find_cgroup_dirs(struct cgroup_dirs *ret)
{
        AUTO(buf) text = BUF_MAX(FILE_MAX);

        TRY(file_read("/proc/self/cgroup", &text));
        for (struct str rest = buf_str(&text); !str_is_empty(rest);) {
                struct str path = str_split(&rest, '\n');
                struct str number = str_split(&path, ':'), controllers = str_split(&path, ':');

                if (str_equal(number, STR("0")) && is_of_type(CGROUP_ROOT, CGROUP2_SUPER_MAGIC) && ret->unified == NULL)
                        ret->unified = cgroup_dir(CGROUP_ROOT, path);
                else if (str_equal(number, STR("0")) && is_of_type(CGROUP_ROOT "/unified", CGROUP2_SUPER_MAGIC) && ret->unified == NULL)
                        ret->unified = cgroup_dir(CGROUP_ROOT "/unified", path);
                else if (has_controller(controllers, STR("pids")) && is_of_type(CGROUP_ROOT "/pids", CGROUP_SUPER_MAGIC) && ret->pids == NULL)
                        ret->pids = cgroup_dir(CGROUP_ROOT "/pids", path);
                else if (str_equal(controllers, STR("name=systemd")) && is_of_type(CGROUP_ROOT "/systemd", CGROUP_SUPER_MAGIC) && ret->named == NULL)
                        ret->named = cgroup_dir(CGROUP_ROOT "/systemd", path);
        }
        return NULL;
}

/* systemd marks delegated groups: systemd.resource-control(5), Delegate=. */
static bool is_delegated(const char *dir)
{
        static const char *const marks[] = { "trusted.delegate", "user.delegate" };
        char value = 0;

        for (size_t i = 0; dir != NULL && i < ARRAY_LEN(marks); i++)
                if (getxattr(dir, marks[i], &value, 1) == 1 && value == '1')
                        return true;
        return false;
}

static struct error *write_value(const char *dir, const char *file, const char *value)
{
        AUTO_MEM char *path = mem_printf("%s/%s", dir, file);
        AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, value, strlen(value)) < 0)
                return error_errno(errno, "cannot write '%s' to %s", value, path);
        return NULL;
}

/* A number from a file; LONG_MAX if it has another content ("max") or cannot be read. */
static long number_in(const char *dir, const char *file)
{
        AUTO_MEM char *path = mem_printf("%s/%s", dir, file);
        AUTO(buf) text = BUF_MAX(256);
        AUTO_PTR(error) err = file_read(path, &text);
        int64_t number = LONG_MAX;

        if (err != NULL)
                return LONG_MAX;
        AUTO_PTR(error) bad = parse_int(str_trim(buf_str(&text)), 1, LONG_MAX, "number", &number);
        return bad == NULL ? (long)number : LONG_MAX;
}

static long least(long a, long b)
{
        return a < b ? a : b;
}

static struct error *make_group(const char *dir)
{
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
                return error_errno(errno, "cannot make the control group %s", dir);
        return chmod(dir, 0755) < 0 ? error_errno(errno, "cannot set the mode of %s", dir) : NULL;
}

/* Processes are moved first: version 2 enables controllers only for a group without processes of its own. */
static struct error *make_tree(const char *dir, bool is_unified, long all_tasks, char **ret_sessions)
{
        AUTO_MEM char *agent = mem_printf("%s/" AGENT, dir), *sessions = mem_printf("%s/sessions", dir), *limit = mem_printf("%ld", all_tasks);
        AUTO_MEM char *controllers = mem_printf("%s/cgroup.controllers", dir);
        AUTO(buf) text = BUF_MAX(FILE_MAX);

        TRY(make_group(agent));
        TRY(write_value(agent, "cgroup.procs", "0"));
        TRY(make_group(sessions));
        if (is_unified) {
                TRY(file_read(controllers, &text));
                struct str list = buf_str(&text);
                bool has_pids = false;

                while (!str_is_empty(list) && !has_pids)
                        has_pids = str_equal(str_trim(str_split(&list, ' ')), STR("pids"));
                if (has_pids) {
                        TRY(write_value(dir, "cgroup.subtree_control", "+pids"));
                        TRY(write_value(sessions, "cgroup.subtree_control", "+pids"));
                        TRY(write_value(sessions, "pids.max", limit));
                }
        } else {
                TRY(write_value(sessions, "pids.max", limit));
        }
        *ret_sessions = sessions;
        sessions = NULL;
        return NULL;
}

static struct error *prepare(struct cgroups *c)
{
        AUTO(cgroup_dirs) p = { 0 };

        TRY(find_cgroup_dirs(&p));
        if (!is_delegated(p.unified) && !is_delegated(p.named))
                return NULL;
        /* The least of the kernel's limits and the unit's limit: the shares are those of systemd's user slices (user-.slice). */
        long tasks = least(number_in("/proc/sys/kernel", "pid_max"), number_in("/proc/sys/kernel", "threads-max"));
        if (p.unified != NULL)
                tasks = least(tasks, number_in(p.unified, "pids.max"));
        if (p.pids != NULL)
                tasks = least(tasks, number_in(p.pids, "pids.max"));
        c->session_tasks = tasks / 100 * LIMIT_SESSION_TASKS + tasks % 100 * LIMIT_SESSION_TASKS / 100 + 1;
        long all_tasks = tasks / 100 * LIMIT_SESSIONS_TASKS + tasks % 100 * LIMIT_SESSIONS_TASKS / 100 + 1;
        if (p.unified != NULL) {
                TRY(make_tree(p.unified, true, all_tasks, &c->sessions[c->count]));
                c->count++;
        }
        if (p.pids != NULL) {
                TRY(make_tree(p.pids, false, all_tasks, &c->sessions[c->count]));
                c->count++;
        }
        return NULL;
}

struct error *cgroups_prepare(struct cgroups *ret)
{
        *ret = (struct cgroups){ .count = 0 };
        struct error *err = prepare(ret);
        if (err != NULL)
                cgroups_release(ret);
        else
                cgroups_sweep(ret); /* removes groups of the previous run */
        return err;
}

void cgroups_release(struct cgroups *c)
{
        for (size_t i = 0; i < c->count; i++)
                free(c->sessions[i]);
        *c = (struct cgroups){ .count = 0 };
}

static struct error *make_leaf(const struct cgroups *c, const char *name, struct cgroup_leaf *ret)
{
        AUTO_MEM char *limit = mem_printf("%ld", c->session_tasks);

        for (size_t i = 0; i < c->count; i++) {
                AUTO_MEM char *dir = mem_printf("%s/%s", c->sessions[i], name), *procs = mem_printf("%s/cgroup.procs", dir);

                TRY(make_group(dir));
                AUTO_PTR(error) unlimited = write_value(dir, "pids.max", limit);
                (void)unlimited; /* the file does not exist in a hierarchy without the controller */
                ret->procs[i] = open(procs, O_WRONLY | O_CLOEXEC);
                if (ret->procs[i] < 0)
                        return error_errno(errno, "cannot open %s", procs);
                ret->count++;
        }
        return NULL;
}

struct error *cgroups_make_leaf(const struct cgroups *c, const char *name, struct cgroup_leaf *ret)
{
        *ret = (struct cgroup_leaf){ .count = 0 };
        struct error *err = make_leaf(c, name, ret);
        if (err != NULL)
                cgroup_leaf_release(ret);
        return err;
}

bool cgroup_leaf_enter(const struct cgroup_leaf *leaf)
{
        for (size_t i = 0; i < leaf->count; i++)
                if (write(leaf->procs[i], "0", 1) != 1)
                        return false;
        return true;
}

void cgroup_leaf_release(struct cgroup_leaf *leaf)
{
        for (size_t i = 0; i < leaf->count; i++)
                close(leaf->procs[i]);
        *leaf = (struct cgroup_leaf){ .count = 0 };
}

void cgroups_sweep(const struct cgroups *c)
{
        for (size_t i = 0; i < c->count; i++) {
                DIR *dir = opendir(c->sessions[i]);

                for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
                        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                                (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR); /* EBUSY: it still has processes */
                if (dir != NULL)
                        closedir(dir);
        }
}
