#include "storage/store_pages.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/keyspace.h"

#define META_MAGIC UINT32_C(0xbeefc0de)

/* LMDB 0.9's file, numbers in the order of this machine. */
enum {
    META_PAGES = 2,
    META_VERSION = 1,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 65536,

    PAGE_NUMBER_AT = 0, /* in a page */
    PAGE_FLAGS_AT = 10,
    PAGE_LOWER_AT = 12,
    PAGE_UPPER_AT = 14,
    PAGE_OVERFLOW_COUNT_AT = 12,
    PAGE_HEAD_BYTES = 16,

    META_MAGIC_AT = PAGE_HEAD_BYTES, /* in a meta page */
    META_VERSION_AT = META_MAGIC_AT + 4,
    META_ADDRESS_AT = META_MAGIC_AT + 8,
    META_MAP_BYTES_AT = META_MAGIC_AT + 16, /* a wish: LMDB takes what it needs */
    META_FREE_TREE_AT = META_MAGIC_AT + 24,
    META_ROW_TREE_AT = META_MAGIC_AT + 72,
    META_LAST_PAGE_AT = META_MAGIC_AT + 120,
    META_TXN_AT = META_MAGIC_AT + 128,
    META_END = META_MAGIC_AT + 136,

    TREE_PAGE_BYTES_AT = 0, /* in a tree of a meta page; of the free tree only */
    TREE_DEPTH_AT = 6,      /* behind what never changes */
    TREE_BRANCHES_AT = 8,
    TREE_LEAVES_AT = 16,
    TREE_OVERFLOWS_AT = 24,
    TREE_ENTRIES_AT = 32,
    TREE_ROOT_AT = 40,
    TREE_BYTES = 48,

    FLAG_BRANCH = 1, /* a page on the disk has one flag: "dirty" and such are of memory */
    FLAG_LEAF = 2,
    FLAG_OVERFLOW = 4,
    FLAG_META = 8,

    NODE_FLAGS_AT = 4, /* in a node */
    NODE_KEY_BYTES_AT = 6,
    NODE_HEAD_BYTES = 8,
    NODE_IS_OVERFLOW = 1,

    DEPTH_MAX = 32, /* LMDB's own */
};

struct pages {
    const uint8_t *file; /* mapped */
    uint64_t file_bytes;
    size_t page_bytes;
    uint8_t *seen; /* one bit a page */
    store_pages_report *report;
    store_pages_use *use;
    void *ctx;
    struct store_pages_result result;
};

struct counts {
    uint64_t branches; /* pages */
    uint64_t leaves;
    uint64_t overflows;
    uint64_t entries;
};

/* A tree, as its meta page describes it, and where the walk through it stands. */
struct tree {
    bool holds_free_lists;
    uint16_t depth;
    uint64_t root;
    uint64_t newest_txn; /* of the meta page */
    struct counts told;
    struct counts found;
    struct slice last;  /* key of a leaf; empty: none yet */
    struct slice floor; /* the last one that led the way: the next key is not below */
};

static uint16_t u16_at(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static uint32_t u32_at(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static uint64_t u64_at(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static void problem(struct pages *p, const char *what, uint64_t page)
{
    p->result.problems++;
    p->report(p->ctx, what, page);
}

/* Bytes of a page that are in use. */
static void take(struct pages *p, uint64_t page, uint64_t at, uint64_t len)
{
    if (p->use != NULL) {
        p->use(p->ctx, page * p->page_bytes + at, len);
    }
}

static bool is_seen(const struct pages *p, uint64_t page)
{
    return p->seen[page / 8] & (1U << (page % 8));
}

/* Each page is met once; false where it may not be met at all. */
static bool meet(struct pages *p, uint64_t page)
{
    if (page < META_PAGES || page >= p->result.pages) {
        problem(p, "a page number lies outside the file", page);
        return false;
    }
    if (is_seen(p, page)) {
        problem(p, "a page has two uses", page);
        return false;
    }
    p->seen[page / 8] |= (uint8_t)(1U << (page % 8));
    return true;
}

/* A page of a tree; NULL where it is not one. */
static const uint8_t *page_of(struct pages *p, uint64_t number, unsigned kind)
{
    if (!meet(p, number)) {
        return NULL;
    }
    p->result.tree_pages++;
    if ((number + 1) * p->page_bytes > p->file_bytes) {
        problem(p, "a page in use lies beyond the end of the file", number);
        return NULL;
    }
    const uint8_t *page = p->file + number * p->page_bytes;
    if (u64_at(page + PAGE_NUMBER_AT) != number || u16_at(page + PAGE_FLAGS_AT) != kind) {
        problem(p, "a page is not the one that belongs here", number);
        return NULL;
    }
    take(p, number, PAGE_NUMBER_AT, sizeof number);
    take(p, number, PAGE_FLAGS_AT, PAGE_HEAD_BYTES - PAGE_FLAGS_AT);
    return page;
}

/* Keys */

/* Those of free lists are numbers of transactions, as this machine writes them. */
static int compare_keys(const struct tree *tree, struct slice a, struct slice b)
{
    if (!tree->holds_free_lists) {
        return slice_compare(a, b);
    }
    uint64_t x = u64_at(a.data);
    uint64_t y = u64_at(b.data);
    return (x > y) - (x < y);
}

static bool is_key(const struct tree *tree, struct slice key)
{
    return tree->holds_free_lists ? key.len == sizeof(uint64_t)
                                  : key.len > 0 && key.len <= ROW_KEY_BYTES_MAX;
}

static bool is_after_last(const struct tree *tree, struct slice key)
{
    return tree->last.len == 0 || compare_keys(tree, key, tree->last) > 0;
}

/* In a page of its own the first key of a branch leads nowhere and is empty. */
static bool leads_on(struct tree *tree, struct slice key)
{
    if (!is_key(tree, key) || !is_after_last(tree, key) ||
        (tree->floor.len > 0 && compare_keys(tree, key, tree->floor) < 0)) {
        return false;
    }
    tree->floor = key;
    return true;
}

static bool comes_next(struct tree *tree, struct slice key)
{
    if (!is_key(tree, key) || !is_after_last(tree, key) ||
        (tree->floor.len > 0 && compare_keys(tree, key, tree->floor) < 0) ||
        (tree->holds_free_lists && u64_at(key.data) > tree->newest_txn)) {
        return false;
    }
    tree->last = key;
    return true;
}

/* Nodes */

static struct slice key_of(const uint8_t *node)
{
    return slice_of(node + NODE_HEAD_BYTES, u16_at(node + NODE_KEY_BYTES_AT));
}

static size_t value_bytes_of(const uint8_t *node)
{
    return u16_at(node) | (size_t)u16_at(node + 2) << 16;
}

/* What a node takes of its page, padding left out. */
static size_t node_bytes(const uint8_t *node, bool is_leaf)
{
    size_t value = 0;
    if (is_leaf) {
        bool is_elsewhere = u16_at(node + NODE_FLAGS_AT) == NODE_IS_OVERFLOW;
        value = is_elsewhere ? sizeof(uint64_t) : value_bytes_of(node);
    }
    return NODE_HEAD_BYTES + (size_t)u16_at(node + NODE_KEY_BYTES_AT) + value;
}

/* Nodes lie side by side, in any order, from the upper bound to the end of the page. */
static bool nodes_fill(const struct pages *p, const uint8_t *page, size_t lower, size_t upper,
                       bool is_leaf)
{
    uint8_t starts[PAGE_BYTES_MAX / 2 / 8 + 1] = {0};
    size_t sum = 0;
    for (size_t at = PAGE_HEAD_BYTES; at < lower; at += 2) {
        size_t start = u16_at(page + at);
        if (start < upper || start % 2 != 0 || start + NODE_HEAD_BYTES > p->page_bytes ||
            starts[start / 16] & (1U << (start / 2 % 8))) {
            return false;
        }
        starts[start / 16] |= (uint8_t)(1U << (start / 2 % 8));
        sum += (node_bytes(page + start, is_leaf) + 1) & ~(size_t)1;
    }
    if (sum != p->page_bytes - upper) {
        return false;
    }
    for (size_t at = PAGE_HEAD_BYTES; at < lower; at += 2) {
        size_t start = u16_at(page + at);
        size_t end = start + ((node_bytes(page + start, is_leaf) + 1) & ~(size_t)1);
        bool meets_one = end < p->page_bytes && starts[end / 16] & (1U << (end / 2 % 8));
        if (end != p->page_bytes && !meets_one) {
            return false;
        }
    }
    return true;
}

/* Leaves */

/* Numbers from high to low. LMDB may have given the record more room than they need. */
static void meet_free_list(struct pages *p, const uint8_t *list, size_t bytes, uint64_t page)
{
    uint64_t count = bytes < 8 ? UINT64_MAX : u64_at(list);
    if (count > bytes / 8 - 1) {
        problem(p, "a list of free pages is longer than its record", page);
        return;
    }
    for (uint64_t i = 1; i <= count; i++) {
        if (i > 1 && u64_at(list + 8 * i) > u64_at(list + 8 * (i - 1))) {
            problem(p, "a list of free pages is not in order", page);
        }
        if (meet(p, u64_at(list + 8 * i))) {
            p->result.free_pages++;
        }
    }
    take(p, 0, (uint64_t)(list - p->file), 8 * (count + 1));
}

/* A value on pages of its own; returns where it begins, or NULL. */
static const uint8_t *overflow_of(struct pages *p, struct tree *tree, uint64_t number, size_t bytes)
{
    const uint8_t *page = page_of(p, number, FLAG_OVERFLOW);
    if (page == NULL) {
        return NULL;
    }
    uint64_t count = u32_at(page + PAGE_OVERFLOW_COUNT_AT);
    uint64_t need = (PAGE_HEAD_BYTES + (uint64_t)bytes + p->page_bytes - 1) / p->page_bytes;
    if (count < need || number + count > p->result.pages ||
        (number + need) * p->page_bytes > p->file_bytes) {
        problem(p, "a large value does not fit its pages", number);
        return NULL;
    }
    for (uint64_t i = 1; i < count; i++) {
        if (!meet(p, number + i)) {
            return NULL;
        }
        p->result.tree_pages++;
    }
    tree->found.overflows += count;
    return page + PAGE_HEAD_BYTES;
}

static void check_leaf_node(struct pages *p, struct tree *tree, const uint8_t *node, uint64_t page)
{
    unsigned flags = u16_at(node + NODE_FLAGS_AT);
    struct slice key = key_of(node);
    size_t value_bytes = value_bytes_of(node);
    uint64_t at = (uint64_t)(node - p->file);
    if (flags & ~(unsigned)NODE_IS_OVERFLOW || !comes_next(tree, key)) {
        problem(p, "a row is not the next one", page);
        return;
    }
    const uint8_t *value = key.data + key.len;
    take(p, 0, at, NODE_HEAD_BYTES);
    take(p, 0, at + NODE_HEAD_BYTES, tree->holds_free_lists ? 0 : key.len);
    if (flags == NODE_IS_OVERFLOW) {
        take(p, 0, (uint64_t)(value - p->file), sizeof(uint64_t));
        value = overflow_of(p, tree, u64_at(value), value_bytes);
    }
    tree->found.entries++;
    if (value != NULL && tree->holds_free_lists) {
        meet_free_list(p, value, value_bytes, page);
    } else if (value != NULL) {
        take(p, 0, (uint64_t)(value - p->file), value_bytes);
    }
}

/* Trees */

static void check_page(struct pages *p, struct tree *tree, uint64_t number, unsigned depth);

static void check_branch_node(struct pages *p, struct tree *tree, const uint8_t *node,
                              bool is_first, uint64_t page, unsigned depth)
{
    struct slice key = key_of(node);
    if (is_first ? key.len != 0 : !leads_on(tree, key)) {
        problem(p, "a branch is not the next one", page);
        return;
    }
    take(p, 0, (uint64_t)(node - p->file), NODE_HEAD_BYTES);
    uint64_t child = u16_at(node) | (uint64_t)u16_at(node + 2) << 16 |
                     (uint64_t)u16_at(node + NODE_FLAGS_AT) << 32;
    check_page(p, tree, child, depth + 1);
}

/* Recursion is bounded by the depth, which the caller has checked. */
static void check_page(struct pages *p, struct tree *tree, uint64_t number, unsigned depth)
{
    bool is_leaf = depth == tree->depth;
    const uint8_t *page = page_of(p, number, is_leaf ? FLAG_LEAF : FLAG_BRANCH);
    if (page == NULL) {
        return;
    }
    size_t lower = u16_at(page + PAGE_LOWER_AT);
    size_t upper = u16_at(page + PAGE_UPPER_AT);
    if (lower <= PAGE_HEAD_BYTES || lower > upper || upper > p->page_bytes || lower % 2 != 0) {
        problem(p, "a page gives itself bounds that do not hold", number);
        return;
    }
    if (!nodes_fill(p, page, lower, upper, is_leaf)) {
        problem(p, "a page is not filled by what it holds", number);
        return;
    }
    tree->found.leaves += is_leaf ? 1 : 0;
    tree->found.branches += is_leaf ? 0 : 1;
    take(p, number, PAGE_HEAD_BYTES, lower - PAGE_HEAD_BYTES);
    for (size_t at = PAGE_HEAD_BYTES; at < lower; at += 2) {
        const uint8_t *node = page + u16_at(page + at);
        if (is_leaf) {
            check_leaf_node(p, tree, node, number);
        } else {
            check_branch_node(p, tree, node, at == PAGE_HEAD_BYTES, number, depth);
        }
    }
}

static void check_tree(struct pages *p, const uint8_t *meta, size_t tree_at, bool holds_free_lists)
{
    const uint8_t *from = meta + tree_at;
    uint64_t page = (uint64_t)(meta - p->file) / p->page_bytes;
    struct tree tree = {.holds_free_lists = holds_free_lists,
                        .depth = u16_at(from + TREE_DEPTH_AT),
                        .root = u64_at(from + TREE_ROOT_AT),
                        .newest_txn = u64_at(meta + META_TXN_AT),
                        .told = {.branches = u64_at(from + TREE_BRANCHES_AT),
                                 .leaves = u64_at(from + TREE_LEAVES_AT),
                                 .overflows = u64_at(from + TREE_OVERFLOWS_AT),
                                 .entries = u64_at(from + TREE_ENTRIES_AT)}};
    take(p, page, tree_at + TREE_DEPTH_AT, TREE_BYTES - TREE_DEPTH_AT);
    bool is_empty = tree.root == UINT64_MAX;
    if (is_empty ? tree.depth != 0 : tree.depth == 0 || tree.depth > DEPTH_MAX) {
        problem(p, "a tree is deeper than trees can be", tree.root);
        return;
    }
    if (!is_empty) {
        check_page(p, &tree, tree.root, 1);
    }
    if (memcmp(&tree.told, &tree.found, sizeof tree.found) != 0) {
        problem(p, "a tree holds not what its meta page counts", page);
    }
}

/* Meta pages */

/* NULL where the page is no sound meta page; *ret_foreign: of another version of LMDB. */
static const uint8_t *meta_of(const struct pages *p, uint64_t number, size_t page_bytes,
                              bool *ret_foreign)
{
    if (number * page_bytes + META_END > p->file_bytes) {
        return NULL;
    }
    const uint8_t *page = p->file + number * page_bytes;
    if (u32_at(page + META_MAGIC_AT) != META_MAGIC || u64_at(page + PAGE_NUMBER_AT) != number ||
        u16_at(page + PAGE_FLAGS_AT) != FLAG_META) {
        return NULL;
    }
    if (u32_at(page + META_VERSION_AT) != META_VERSION) {
        *ret_foreign = true;
        return NULL;
    }
    return page;
}

/* What every transaction repeats: the address, and the sizes and flags of both trees. */
static bool metas_agree(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a + META_ADDRESS_AT, b + META_ADDRESS_AT, sizeof(uint64_t)) == 0 &&
           memcmp(a + META_FREE_TREE_AT, b + META_FREE_TREE_AT, TREE_DEPTH_AT) == 0 &&
           memcmp(a + META_ROW_TREE_AT, b + META_ROW_TREE_AT, TREE_DEPTH_AT) == 0;
}

/* Transactions take turns at the pages, and each is the one after that of the other page; a file that
 * has seen none has zero twice. */
static bool turns_hold(uint64_t first_txn, uint64_t second_txn)
{
    bool is_new = first_txn == 0 && second_txn == 0;
    bool is_next = first_txn + 1 == second_txn || second_txn + 1 == first_txn;
    return is_new || (is_next && first_txn % 2 == 0);
}

static void take_meta(struct pages *p, uint64_t page, bool is_newer)
{
    take(p, page, PAGE_NUMBER_AT, sizeof(uint64_t));
    take(p, page, PAGE_FLAGS_AT, sizeof(uint16_t));
    take(p, page, META_MAGIC_AT, META_MAP_BYTES_AT - META_MAGIC_AT);
    take(p, page, META_FREE_TREE_AT, TREE_DEPTH_AT);
    take(p, page, META_ROW_TREE_AT, TREE_DEPTH_AT);
    take(p, page, META_LAST_PAGE_AT, is_newer ? sizeof(uint64_t) : 0);
    take(p, page, META_TXN_AT, sizeof(uint64_t));
}

/* The newer of the two; the first tells how large pages are. */
static enum err find_meta(struct pages *p, const uint8_t **ret_meta)
{
    bool foreign = false;
    const uint8_t *first = meta_of(p, 0, 0, &foreign);
    if (first == NULL) {
        return foreign ? ERR_FORMAT : ERR_CORRUPT;
    }
    p->page_bytes = u32_at(first + META_FREE_TREE_AT + TREE_PAGE_BYTES_AT);
    if (p->page_bytes < PAGE_BYTES_MIN || p->page_bytes > PAGE_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    const uint8_t *second = meta_of(p, 1, p->page_bytes, &foreign);
    if (second == NULL) {
        return foreign ? ERR_FORMAT : ERR_CORRUPT;
    }
    if (!metas_agree(first, second) ||
        !turns_hold(u64_at(first + META_TXN_AT), u64_at(second + META_TXN_AT))) {
        return ERR_CORRUPT;
    }
    bool is_second = u64_at(second + META_TXN_AT) > u64_at(first + META_TXN_AT);
    *ret_meta = is_second ? second : first;
    take_meta(p, 0, !is_second);
    take_meta(p, 1, is_second);
    return ERR_OK;
}

static enum err check_mapped(struct pages *p)
{
    const uint8_t *meta;
    enum err err = find_meta(p, &meta);
    if (err != ERR_OK) {
        return err;
    }
    uint64_t last_page = u64_at(meta + META_LAST_PAGE_AT);
    if (last_page < META_PAGES - 1 || last_page >= INT64_MAX / p->page_bytes) {
        return ERR_CORRUPT;
    }
    p->result.pages = last_page + 1;
    p->seen = mem_try_alloc(p->result.pages / 8 + 1); /* as large as the file says */
    if (p->seen == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(p->seen, 0, p->result.pages / 8 + 1);
    check_tree(p, meta, META_FREE_TREE_AT, true);
    check_tree(p, meta, META_ROW_TREE_AT, false);
    for (uint64_t i = META_PAGES; i < p->result.pages && p->result.problems == 0; i++) {
        if (!is_seen(p, i)) { /* the first tells enough, where trees were cut short they are many */
            problem(p, "a page is neither in use nor free", i);
        }
    }
    mem_free(p->seen);
    return ERR_OK;
}

enum err store_pages_check(const char *path, store_pages_report *report, store_pages_use *use,
                           void *ctx, struct store_pages_result *ret_result)
{
    struct pages p = {.report = report, .use = use, .ctx = ctx};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ERR_IO;
    }
    enum err err = ERR_IO;
    if (fstat(fd, &st) == 0) {
        p.file_bytes = (uint64_t)st.st_size;
        err = p.file_bytes == 0 ? ERR_CORRUPT : ERR_OK;
    }
    if (err == ERR_OK) {
        void *file = mmap(NULL, p.file_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        err = file == MAP_FAILED ? ERR_NO_MEMORY : ERR_OK;
        if (err == ERR_OK) {
            p.file = file;
            err = check_mapped(&p);
            (void)munmap(file, p.file_bytes);
        }
    }
    (void)close(fd);
    if (err == ERR_OK) {
        *ret_result = p.result;
    }
    return err;
}
