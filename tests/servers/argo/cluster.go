package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	eventsv1 "github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-workflows/v3/pkg/apis/workflow"
	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v3/pkg/client/clientset/versioned/fake"
	servertypes "github.com/argoproj/argo-workflows/v3/server/types"
	"github.com/argoproj/argo-workflows/v3/workflow/common"
	"github.com/argoproj/argo-workflows/v3/workflow/templateresolution"
	"github.com/argoproj/argo-workflows/v3/workflow/validate"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
	fakekube "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	ktesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

// What Kubernetes would keep, and whom it would let do what.
type cluster struct {
	workflows  *fake.Clientset
	kubernetes *fakekube.Clientset
	roles      []rbacv1.Role
	bindings   []rbacv1.RoleBinding
	sources    []eventsv1.EventSource
	sensors    []eventsv1.Sensor
	accounts   []corev1.ServiceAccount

	lock sync.Mutex
	// The accounts of the tokens that are valid now.
	tokens map[string]corev1.ServiceAccount
}

func newCluster() *cluster {
	c := &cluster{workflows: fake.NewSimpleClientset(), kubernetes: fakekube.NewSimpleClientset()}
	c.workflows.PrependReactor("create", workflow.WorkflowPlural, admit)
	return c
}

// Takes over what is in a file of manifests, whose fields have to be those of their kinds.
func (c *cluster) apply(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := c.add(kind.Kind, document); err != nil {
			return fmt.Errorf("%s: %s: %w", path, kind.Kind, err)
		}
	}
	return nil
}

func (c *cluster) add(kind string, document []byte) error {
	switch kind {
	case "WorkflowEventBinding":
		return keep(c, document, &wfv1.WorkflowEventBinding{})
	case "WorkflowTemplate":
		return keep(c, document, &wfv1.WorkflowTemplate{})
	case "ServiceAccount":
		return collect(&c.accounts, document)
	case "Role":
		return collect(&c.roles, document)
	case "RoleBinding":
		return collect(&c.bindings, document)
	case "EventSource":
		return collect(&c.sources, document)
	case "Sensor":
		return collect(&c.sensors, document)
	}
	return fmt.Errorf("nothing here knows such a kind")
}

func keep(c *cluster, document []byte, into runtime.Object) error {
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		return err
	}
	return c.workflows.Tracker().Add(into)
}

func collect[T any](list *[]T, document []byte) error {
	var item T
	if err := yaml.UnmarshalStrict(document, &item); err != nil {
		return err
	}
	*list = append(*list, item)
	return nil
}

// As `argo template lint` does.
func (c *cluster) check(ctx context.Context) error {
	found, err := c.workflows.ArgoprojV1alpha1().WorkflowTemplates("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, template := range found.Items {
		err := validate.ValidateWorkflowTemplate(c.templates(template.Namespace), nobody, &template, nil, validate.ValidateOpts{Lint: true})
		if err != nil {
			return fmt.Errorf("WorkflowTemplate %s: %w", template.Name, err)
		}
	}
	return nil
}

var nobody = &templateresolution.NullClusterWorkflowTemplateGetter{}

func (c *cluster) templates(namespace string) templateresolution.WorkflowTemplateNamespacedGetter {
	return templateresolution.WrapWorkflowTemplateInterface(c.workflows.ArgoprojV1alpha1().WorkflowTemplates(namespace))
}

// A token for every account, in `NAMESPACE.NAME.token`; those from before are not valid any more.
func (c *cluster) issueTokens(dir string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.tokens = make(map[string]corev1.ServiceAccount)
	for _, account := range c.accounts {
		claims := fmt.Sprintf(`{"sub":"system:serviceaccount:%s:%s"}`, account.Namespace, account.Name)
		encode := base64.RawURLEncoding.EncodeToString
		token := encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + "." + rand.Text()
		c.tokens[token] = account
		path := filepath.Join(dir, account.Namespace+"."+account.Name+".token")
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// The clients of Argo itself, which may do everything.
func (c *cluster) own() *servertypes.Clients {
	return &servertypes.Clients{Workflow: c.workflows, Kubernetes: c.kubernetes}
}

// The clients of whoever shows this header: Kubernetes judges each of their calls.
func (c *cluster) clientFor(authorization string, _ *rest.Config) (*rest.Config, *servertypes.Clients, error) {
	token := strings.TrimPrefix(authorization, "Bearer ")
	workflows := &fake.Clientset{}
	workflows.AddReactor("*", "*", func(action ktesting.Action) (bool, runtime.Object, error) {
		resource := action.GetResource().GroupResource()
		if err := c.judge(token, action.GetVerb(), resource, action.GetNamespace()); err != nil {
			return true, nil, err
		}
		object, err := c.workflows.Invokes(action, nil)
		return true, object, err
	})
	kubernetes := &fakekube.Clientset{}
	kubernetes.AddReactor("create", "selfsubjectaccessreviews", func(action ktesting.Action) (bool, runtime.Object, error) {
		review := action.(ktesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		asked := review.Spec.ResourceAttributes
		resource := schema.GroupResource{Group: asked.Group, Resource: asked.Resource}
		err := c.judge(token, asked.Verb, resource, asked.Namespace)
		if apierrors.IsUnauthorized(err) {
			return true, nil, err
		}
		review.Status.Allowed = err == nil
		return true, review, nil
	})
	return &rest.Config{BearerToken: token}, &servertypes.Clients{Workflow: workflows, Kubernetes: kubernetes}, nil
}

func (c *cluster) judge(token, verb string, resource schema.GroupResource, namespace string) error {
	c.lock.Lock()
	account, known := c.tokens[token]
	c.lock.Unlock()
	if !known {
		return apierrors.NewUnauthorized("Unauthorized")
	}
	for _, binding := range c.bindings {
		if binding.Namespace != namespace || !slices.ContainsFunc(binding.Subjects, func(subject rbacv1.Subject) bool {
			return subject.Kind == "ServiceAccount" && subject.Name == account.Name && subject.Namespace == account.Namespace
		}) {
			continue
		}
		for _, role := range c.roles {
			if role.Namespace == namespace && role.Name == binding.RoleRef.Name && allows(role.Rules, verb, resource) {
				return nil
			}
		}
	}
	return apierrors.NewForbidden(resource, "", fmt.Errorf(
		"User \"system:serviceaccount:%s:%s\" cannot %s resource %q in API group %q in the namespace %q",
		account.Namespace, account.Name, verb, resource.Resource, resource.Group, namespace))
}

func allows(rules []rbacv1.PolicyRule, verb string, resource schema.GroupResource) bool {
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.APIGroups, resource.Group) &&
			slices.Contains(rule.Resources, resource.Resource) && slices.Contains(rule.Verbs, verb)
	})
}

// What the API server does with a new workflow before it keeps it.
func admit(action ktesting.Action) (bool, runtime.Object, error) {
	wf := action.(ktesting.CreateAction).GetObject().(*wfv1.Workflow)
	wf.Namespace, wf.UID, wf.CreationTimestamp = action.GetNamespace(), uuid.NewUUID(), metav1.Now()
	faults := validation.ValidateObjectMeta(&wf.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	if len(faults) > 0 {
		return true, nil, apierrors.NewInvalid(wfv1.SchemeGroupVersion.WithKind(workflow.WorkflowKind).GroupKind(), wf.Name, faults)
	}
	return false, nil, nil
}

// The workflows, each with what the controller would find wrong with it.
func (c *cluster) list(ctx context.Context) (any, error) {
	found, err := c.workflows.ArgoprojV1alpha1().Workflows("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	type seen struct {
		Workflow wfv1.Workflow `json:"workflow"`
		Fault    string        `json:"fault"`
	}
	all := []seen{}
	for _, wf := range found.Items {
		fault := ""
		if err := validate.ValidateWorkflow(c.templates(wf.Namespace), nobody, wf.DeepCopy(), nil, validate.ValidateOpts{}); err != nil {
			fault = err.Error()
		}
		all = append(all, seen{wf, fault})
	}
	return all, nil
}

// What the controller writes when a workflow has come to an end.
func (c *cluster) end(ctx context.Context, namespace, name, phase string) error {
	client := c.workflows.ArgoprojV1alpha1().Workflows(namespace)
	wf, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	wf.Status.Phase = wfv1.WorkflowPhase(phase)
	wf.Labels[common.LabelKeyPhase] = phase
	if wf.Status.Phase.Completed() {
		wf.Labels[common.LabelKeyCompleted] = "true"
		wf.Status.FinishedAt = metav1.Now()
	}
	_, err = client.Update(ctx, wf, metav1.UpdateOptions{})
	return err
}
